"""A LAN of two workers and controllers that find each other by the beacon alone: multicast, broadcast, and after a change of address.

args: [path of the swarm binary]
"""
from rig.swarm import Swarm


def ok(lines):
    return sorted(name for name, line in lines.items() if line["ok"])


def main(lab, args):
    swarm, lan = Swarm(args), lab.lan("home")
    ctl, h1, h2 = (lab.host(name, lan) for name in ("ctl", "w1", "w2"))
    modes = (["--beacon=broadcast"], ["--beacon=broadcast", "--beacon-addr=255.255.255.255"], ["--beacon=multicast"])
    # Each round has a controller that knows nobody yet, and so has to find all.
    allow = ["--allow=" + swarm.id(ctl, f"controller{i}") for i in range(len(modes) + 1)]
    for i, mode in enumerate(modes):
        name, way = " ".join(mode), ["--mdns=false", *mode]
        w1, w2 = (swarm.worker(h, *allow, *way) for h in (h1, h2))
        rc, got = swarm.exec(ctl, "get_stats", "--all", *way, state=f"controller{i}")
        lab.check(f"{name}: both are found and answer", (rc, ok(got)), (rc, ok(got)) == (0, ["w1", "w2"]))
        rc, _ = swarm.exec(ctl, "get_stats", "--all", "--mdns=false", state=f"deaf{i}")
        lab.check(f"{name}: without it nobody is found", rc, rc == 1)
        if mode != modes[-1]:
            for w in (w1, w2):
                w.stop()
            lab.check(f"{name}: clean exit", (w1.rc, w2.rc), (w1.rc, w2.rc) == (0, 0))

    h1.set_ip()
    lab.eventually("found at a new address", lambda: ok(
        swarm.exec(ctl, "get_stats", "--all", *way, state=f"controller{len(modes)}")[1]) == ["w1", "w2"])
