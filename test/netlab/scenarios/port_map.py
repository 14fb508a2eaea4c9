"""Owner and worker behind NATs that no hole can be punched through. The worker's router forwards a port when it is asked to.

args: swarm binary, how the router is asked (upnp or natpmp)
"""
from rig.swarm import Fleet


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind="symmetric")
    router = lab.nat("n2", site, kind="symmetric")
    router.forwards(args[1])
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps)
    fleet.join(rig, "rig", "--via", "vps")
    fleet.serve("--mdns=false")
    worker = fleet.worker(rig, "--mdns=false")
    lab.until(lambda: fleet.paths().get("rig"), 15)
    lab.sleep(10)
    lab.check("unasked, the router forwards nothing: by the relay", fleet.paths(), fleet.paths().get("rig") == "relay")
    worker.stop()
    fleet.worker(rig, "--mdns=false", "--port-map")
    start = lab.now()
    took = lab.until(lambda: fleet.paths().get("rig") == "direct", 60)
    lab.check("asked, it does: direct", took, took is not None and took <= 30, "s")
    lab.check("a command works", None, fleet.answers("rig"))
