"""Owner and worker in one LAN, who know of each other only by way of a relay: they come to speak in the LAN.

args: swarm binary
"""
from rig.swarm import Fleet


def main(lab, args):
    home = lab.lan("home")
    lab.nat("router", home)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", home), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps)
    # All that the owner hears of the worker's addresses is what the relay has seen.
    fleet.join(rig, "rig", "--via", "vps")
    lab.partition(laptop, rig)
    fleet.worker(rig, "--mdns=false")
    fleet.serve("--mdns=false")
    lab.eventually("they meet through the relay", lambda: fleet.paths().get("rig") == "relay", 20)
    lab.check("a command works", None, fleet.answers("rig"))
    lab.heal()
    took = lab.until(lambda: fleet.paths().get("rig") == "LAN", 30)
    lab.check("on the LAN address", took, took is not None and took <= 10, "s")
    lab.check("a command works", None, fleet.answers("rig"))
