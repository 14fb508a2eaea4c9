"""The owner has two uplinks, and only the default route moves from one to the other: both links stay up.

args: swarm binary
"""
from rig.sh import sh
from rig.swarm import Fleet

SEEN, WORKS, COMMAND = 2, 1, 1  # the most, in seconds


def main(lab, args):
    wifi, cable, site = lab.lan("wifi"), lab.lan("cable"), lab.lan("site")
    for name, lan in (("n1", wifi), ("n2", cable), ("n3", site)):
        lab.nat(name, lan, kind="cone")
    laptop, rig, vps = lab.host("laptop", wifi), lab.host("rig", site), lab.host("vps")
    laptop._link("eth1", cable, cable.next_ip())
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    fleet.relay(vps, *flags)
    fleet.join(rig, "rig", "--via", "vps")
    fleet.worker(rig, *flags)
    serve = fleet.serve(*flags, "--log-level=info")
    lab.eventually("direct at first", lambda: fleet.paths().get("rig") == "direct", 20)
    for gateway, dev in ((cable.gw, "eth1"), (wifi.gw, "eth0"), (cable.gw, "eth1")):
        lab.sleep(6)  # the relay is left meanwhile
        moved = lab.now()
        sh("ip", "-n", "laptop", "route", "replace", "default", "via", gateway, "dev", dev)
        slowest, works = 0, None  # a command that is under way may be lost with the path that it went by
        while lab.now() - moved < 8:
            asked = lab.now()
            ok = fleet.ask("get_stats", "rig", "--timeout=10s")[0] == 0
            if works is not None:
                slowest = max(slowest, lab.now() - asked if ok else 10)
            elif ok:
                works = lab.now() - moved
        t, _ = serve.wait_line("network of this machine has changed", since=moved, timeout=1)
        lab.check(f"{dev}: the move is seen after", round(t - moved, 2), t - moved <= SEEN, "s")
        lab.check(f"{dev}: a command works after", works and round(works, 2), works is not None and works <= WORKS, "s")
        lab.check(f"{dev}: the slowest command after that", round(slowest, 2), slowest <= COMMAND, "s")
        lab.eventually(f"{dev}: direct again", lambda: fleet.paths().get("rig") == "direct", 10)
