"""A worker starts for the first time at the same moment as the controller, behind cone NATs: they end with a direct path.

args: swarm binary, how many times. Each time it is a new machine, of which only the relay knows.
"""
from rig.swarm import Fleet

DIRECT = 10  # the most, in seconds


def main(lab, args):
    times = int(args[1])
    vps = lab.host("vps")
    flags = ["--mdns=false"]
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind="cone")
    lab.nat("n2", site, kind="cone")
    laptop = lab.host("laptop", home)
    fleet = Fleet(args, laptop)
    fleet.relay(vps, *flags)
    rigs = [lab.host(f"rig{i}", site) for i in range(times)]
    for h in rigs:
        fleet.join(h, h.name, "--via", "vps")
    slowest, relayed = 0, []
    for h in rigs:
        serve = laptop.spawn([fleet.bin, "controller", "serve", "--json", *fleet.state(laptop, "controller"), *flags], name="serve")
        worker = h.spawn([fleet.bin, "worker", "--name", h.name, "--json", *fleet.state(h, "worker"), *flags], name="worker")
        serve.wait_json(event="ready", timeout=20)
        start = lab.now()
        took = lab.until(lambda: fleet.paths().get(h.name) == "direct", DIRECT)
        slowest = max(slowest, lab.now() - start)
        if took is None:
            relayed.append(h.name)
        for p in (serve, worker):
            p.stop()
            p.wait_exit(10)
    lab.check(f"{times} starts of both at once: still by relay after {DIRECT} s", relayed, not relayed)
    lab.check("the slowest was direct after", round(slowest, 2), slowest <= DIRECT, "s")
