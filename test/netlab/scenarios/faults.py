"""What happens to networks and machines, and how long it takes until a command works again.

Two sites behind NATs, the owner and one worker in the open, two relays.
args: swarm binary, kind of the sites' NATs
"""
from rig.swarm import Fleet


def main(lab, args):
    kind = args[1]
    home, site = lab.lan("home"), lab.lan("site")
    n1, n2 = lab.nat("n1", home, kind=kind), lab.nat("n2", site, kind=kind)
    laptop, rig, mate = lab.host("laptop", home), lab.host("rig", site), lab.host("mate", home)
    vps, vps2 = lab.host("vps"), lab.host("vps2")
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    relay, relay2 = fleet.relay(vps, *flags), fleet.relay(vps2, *flags, issues=False)
    for h in (rig, mate):
        fleet.join(h, h.name, "--via", "vps")
    worker = fleet.worker(rig, *flags)
    fleet.worker(mate, *flags)
    serve = fleet.serve(*flags)
    lab.eventually("a command works", lambda: fleet.answers("rig", "mate"), 20)
    lab.eventually("two relays are in use", lambda: worker.logs().count("reach this node by way of a relay") >= 2, 20)

    def again(what, most):
        """the time until commands work, from now on; each of them has 3 s"""
        took = lab.until(lambda: fleet.ask("get_stats", "rig", "--timeout=3s")[0] == 0, most + 30)
        lab.check(f"{what}: a command works again after", took, took is not None and took <= most, "s")

    def calm():
        lab.eventually("calm again", lambda: fleet.paths().get("rig") in ("direct", "relay"), 30)
        lab.sleep(2)

    n2.reboot()
    again("NAT reboot", 15)
    calm()
    n2.set_wan_ip()
    again("WAN address of the worker changed", 15)
    calm()
    n1.set_wan_ip()
    again("WAN address of the owner changed", 15)
    calm()
    rig.set_ip()
    again("address of the worker changed", 15)
    calm()
    laptop.set_ip()
    again("address of the owner changed", 15)
    calm()
    for dark in (5, 45):
        n2.cut()
        lab.sleep(dark)
        n2.mend()
        again(f"uplink dark for {dark} s", 15)
        calm()
    worker = worker.restart()
    worker.wait_json(event="ready", timeout=20)
    again("kill -9 and restart of the worker", 5)
    calm()
    serve = serve.restart()
    serve.wait_json(event="ready", timeout=20)
    again("kill -9 and restart of the controller", 5)
    calm()
    relay.kill9()
    again("one of two relays lost", 15)
    relay2.kill9()
    lab.sleep(3)
    relay = relay.restart()
    relay.wait_json(event="ready", timeout=20)
    again("kill -9 of both relays, restart of one", 5)
    relay2 = relay2.restart()
    calm()
    lab.partition([laptop, mate, vps], [rig, vps2])
    lab.sleep(20)
    lab.heal()
    took = lab.until(lambda: fleet.ask("get_stats", "--all", "--timeout=3s")[0] == 0, 60)
    lab.check("partition of halves healed: all answer after", took, took is not None and took <= 30, "s")
    relay.kill9()
    relay2.kill9()
    if kind == "cone":
        lab.sleep(5)
        rc, got = fleet.ask("get_stats", "--all", "--timeout=5s")
        lab.check("no relay is left, and nothing breaks", (rc, fleet.paths()), rc == 0)
