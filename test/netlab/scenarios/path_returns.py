"""A direct path that is lost comes back: owner and worker behind cone NATs, a relay in the open.

New outside addresses of the owner and of the worker, the owner carried to another network, and five such faults in a
row. args: swarm binary
"""
from rig.swarm import Fleet

# The most, in seconds: until the path is direct again; for a command by the relay; for the first one after the path was
# lost, which takes 0.3 to 0.7 where the machine has nothing else to do; and for the first one after the address of the
# worker's router has changed, of which only the worker can tell.
DIRECT, COMMAND, FIRST, UNTOLD = 10, 1, 1.5, 6


def main(lab, args):
    home, cafe, site = lab.lan("home"), lab.lan("cafe"), lab.lan("site")
    n1, n2 = lab.nat("n1", home, kind="cone"), lab.nat("n2", site, kind="cone")
    n3 = lab.nat("n3", cafe, kind="cone")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    fleet.relay(vps, *flags)
    fleet.join(rig, "rig", "--via", "vps")
    fleet.worker(rig, *flags)
    fleet.serve(*flags)

    def direct():
        return fleet.paths().get("rig") == "direct"

    def after(what, first=FIRST):
        """commands one after the other, until the path is direct again"""
        start, slowest, works = lab.now(), 0, None
        while lab.now() - start < 3 * DIRECT:
            asked = lab.now()
            ok = fleet.ask("get_stats", "rig", "--timeout=10s")[0] == 0
            if ok and works is None:
                works = lab.now() - start
            elif works is not None:
                slowest = max(slowest, lab.now() - asked)
            if works is not None and direct():
                break
        took = lab.now() - start
        lab.check(f"{what}: direct again after", round(took, 2), took <= DIRECT, "s")
        lab.check(f"{what}: the first command ended after", works and round(works, 2), works is not None and works <= first, "s")
        lab.check(f"{what}: the slowest command after that", round(slowest, 2), slowest <= COMMAND, "s")

    lab.eventually("direct at first", direct, 20)
    n1.set_wan_ip()
    after("WAN address of the owner changed")
    n2.set_wan_ip()
    after("WAN address of the worker changed", UNTOLD)
    laptop.move(cafe)
    after("owner in another network")
    home_again = lambda: laptop.move(home)
    for i, fault in enumerate((n3.set_wan_ip, n2.set_wan_ip, home_again, n1.set_wan_ip, n2.set_wan_ip)):
        lab.sleep(6)  # the relay is left meanwhile
        fault()
        after(f"fault {i + 1} in a row", UNTOLD if fault == n2.set_wan_ip else FIRST)
