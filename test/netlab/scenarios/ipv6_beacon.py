"""A LAN without IPv4, in which only the beacon brings machines together; once an address comes late.

args: swarm binary
"""
from rig.sh import sh
from rig.swarm import Swarm


FOUND = 8  # the most, in seconds; a command that has to find all looks for three of them


def main(lab, args):
    swarm, lan = Swarm(args), lab.lan("home", v6=True)
    ctl, rig = lab.host("ctl", lan), lab.host("rig", lan)
    for h in (ctl, rig):
        sh("ip", "-n", h.name, "-4", "addr", "flush", "dev", "eth0")
    way = ["--mdns=false", "--beacon=multicast"]
    allow = ["--allow=" + swarm.id(ctl, f"controller{i}") for i in range(2)]

    def found(state):
        rc, got = swarm.exec(ctl, "get_stats", "--all", *way, state=state)
        return rc == 0 and got.get("rig", {}).get("ok") is True

    def worker():
        p = rig.spawn([swarm.bin, "worker", "--name", "rig", "--json", *swarm.state(rig, "worker"), *allow, *way], name="worker")
        p.wait_json(event="ready", timeout=20)
        return p

    first = worker()
    lab.eventually("found", lambda: found("controller0"), FOUND)
    first.stop()
    sh("ip", "-n", "rig", "-6", "addr", "flush", "dev", "eth0", "scope", "global")
    worker()
    lab.sleep(10)
    sh("ip", "-n", "rig", "addr", "add", f"fd42:{lan.idx}::77/64", "dev", "eth0", "nodad")
    lab.eventually("found with an address that comes late", lambda: found("controller1"), FOUND)
