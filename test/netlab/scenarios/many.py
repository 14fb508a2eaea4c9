"""N workers behind one NAT and one controller: all connected soon after it starts, and again after it restarts.

args: swarm binary, N
"""
from rig.swarm import Fleet


def main(lab, args):
    n = int(args[1])
    site = lab.lan("site")
    lab.nat("router", site)
    laptop = lab.host("laptop")  # everybody can reach it
    fleet = Fleet(args, laptop)
    serve = fleet.serve("--mdns=false")
    hosts = [lab.host(f"w{i:02d}", site) for i in range(n)]
    site.introduce()
    for h in hosts:
        fleet.join(h, h.name, enable=None)
    serve.stop()
    for h in hosts:
        fleet.worker(h, "--mdns=false")
    names = {h.name for h in hosts}

    def connected():
        return {name for name, path in fleet.paths().items() if path} >= names

    serve = fleet.serve("--mdns=false")
    took = lab.until(connected, 30)
    lab.check(f"{n} workers behind one NAT are connected", took, took is not None and took <= 10, "s")
    rc, got = fleet.ask("get_stats", "--all", "--timeout=5s", "--wait=0s")
    lab.check("and all answer", (rc, len(got)), rc == 0 and set(got) == names)
    serve.kill9()
    lab.sleep(3)
    serve = fleet.serve("--mdns=false")
    took = lab.until(connected, 60)
    lab.check("connected again after kill -9 of the controller", took, took is not None and took <= 30, "s")
    rc, got = fleet.ask("get_stats", "--all", "--timeout=5s", "--wait=0s")
    lab.check("and all answer", (rc, len(got)), rc == 0 and set(got) == names)
    lab.check("memory of the controller", serve.rss_kb(), True, "kB")
