"""A machine starts without any address, and gets one a while later: it is found by what works in its LAN.

args: swarm binary, 4 or 6 (the version of IP)
"""
from rig.sh import sh
from rig.swarm import Fleet

FOUND = 3  # the most, in seconds


def main(lab, args):
    six = args[1] == "6"
    lan = lab.lan("lan", v6=six)
    laptop, rig = lab.host("laptop", lan), lab.host("rig", lan)
    fleet = Fleet(args, laptop)
    both = ["--mdns", "--beacon=multicast"]
    fleet.serve(*both)
    fleet.join(rig, "rig")
    number = 0x50

    def readdress(host):
        """an address that nobody has saved"""
        nonlocal number
        number += 1
        sh("ip", "-n", host.name, "addr", "flush", "dev", "eth0", "scope", "global")
        addr = f"fd42:{lan.idx}::{number:x}/64" if six else f"{lan.base}.{number}/24"
        sh("ip", "-n", host.name, "addr", "add", addr, "dev", "eth0", *(["nodad"] if six else []))

    for way, flags in (("saved", ["--mdns=false"]), ("mdns", ["--beacon=false"]), ("beacon", ["--mdns=false", "--beacon=multicast"])):
        sh("ip", "-n", "rig", "addr", "flush", "dev", "eth0", "scope", "global")
        worker = rig.spawn([fleet.bin, "worker", "--name", "rig", "--json", *fleet.state(rig, "worker"), *flags], name=f"worker-{way}")
        worker.wait_json(event="ready", timeout=20)
        if way != "saved":
            readdress(laptop)
        lab.sleep(12)
        readdress(rig)
        start = lab.now()
        took = lab.until(lambda: fleet.ask("get_stats", "rig", "--timeout=1s")[0] == 0, 20)
        lab.check(f"{way}: a command works after", round(lab.now() - start, 2), took is not None and took <= FOUND, "s")
        worker.stop()
