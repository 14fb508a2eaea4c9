"""Every machine is killed and started at once; the one address that all began with is gone for good.

args: swarm binary, N
"""
from rig.swarm import Fleet


def main(lab, args):
    n = int(args[1])
    laptop, hub = lab.host("laptop"), lab.host("hub")
    hosts = [lab.host(f"w{i}") for i in range(n)]
    fleet = Fleet(args, laptop)
    serve = fleet.serve("--mdns=false")
    fleet.join(hub, "hub", enable=None)
    first = fleet.worker(hub, "--mdns=false")
    for h in hosts:
        fleet.join(h, h.name, enable=None)
    workers = [fleet.worker(h, "--mdns=false", "--bootstrap", first.addr) for h in hosts]
    names = {h.name for h in hosts}

    def all_answer():
        return fleet.ask("get_stats", *names, "--timeout=5s")[0] == 0

    lab.eventually("all answer", all_answer, 30)
    first.kill9()
    for p in [serve, *workers]:
        p.kill9()
    for p in [*workers, serve]:
        p.restart()
    took = lab.until(all_answer, 60)
    lab.check(f"{n} workers and the controller restarted with no bootstrap: whole again", took,
              took is not None and took <= 30, "s")
    took = lab.until(lambda: {name for name, path in fleet.paths().items() if path} >= names, 60)
    lab.check("and connected", took, took is not None and took <= 30, "s")
