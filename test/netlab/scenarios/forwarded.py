"""A relay behind a router whose owner has forwarded its port by hand, and has told the relay nothing of that.

args: swarm binary
"""
from rig.swarm import Fleet


def main(lab, args):
    home, site, cafe = lab.lan("home"), lab.lan("site"), lab.lan("cafe")
    lab.nat("n1", home)
    router = lab.nat("n2", site)
    lab.nat("n3", cafe)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", home), lab.host("vps", site)
    router.nft(f'add rule ip nat cpre iifname "wan" meta l4proto {{ tcp, udp }} th dport 4747 dnat to {vps.ip}')
    fleet = Fleet(args, laptop)
    fleet.relay(vps, issues=False, at=router.wan_ip)
    fleet.serve("--mdns=false")
    lab.eventually("the owner is connected with the relay", lambda: fleet.paths().get("vps") == "direct", 20)
    fleet.join(rig, "rig")
    worker = fleet.worker(rig, "--mdns=false")
    by = "others reach this node by way of a relay"
    took = lab.until(lambda: by in worker.logs(), 60)
    lab.check("the rig hears of the relay's address outside", took, took is not None, "s")
    laptop.move(cafe)
    took = lab.until(lambda: fleet.answers("rig"), 60)
    lab.check("the owner has gone elsewhere: a command works", (took, fleet.paths()), took is not None and took <= 10)
