"""The controller that serves ends, in peace or by kill -9, under a followed log, a watch, events and a deployment; another follows.

args: swarm binary
"""
from rig.resume import Deploy, Follow, talks
from rig.swarm import Fleet


def main(lab, args):
    home = lab.lan("home")
    lab.nat("router", home)
    laptop, rig = lab.host("laptop", home), lab.host("rig", home)
    rig.netem(rate=40e6, delay=5, dir="down")
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    serve = fleet.serve(*flags)
    fleet.join(rig, "rig", enable="deploy,miner=refpow")
    fleet.worker(rig, *flags, "--stats-every=1s")
    mine = talks(rig)
    lab.eventually("a workload runs", lambda: fleet.ask("start_miner", "rig", *mine, "--timeout=5s")[0] == 0, 20)
    follow = Follow(fleet, "rig")

    def listener(*command):
        return laptop.spawn([fleet.bin, *command, "--json", *fleet.state(laptop, "controller")], name=command[-1])

    watch, events = listener("controller", "watch"), listener("events")
    lab.eventually("its log is followed", lambda: len(follow.lines()) > 10, 20)
    lab.eventually("its stats come", lambda: len(watch.json(type="stats")) > 0, 20)

    def goes_on(what):
        stats = len(watch.json(type="stats"))
        took = lab.until(follow.grows(), 20)
        lab.check(f"{what}: the log goes on after", took, took is not None and took <= 10, "s")
        lab.eventually("the stats go on", lambda: len(watch.json(type="stats")) > stats, 20)
        lab.eventually("the events tell of the machine", lambda: any(
            t > events.json(event="back")[-1][0] for t, o in events.json(event="state") if o["name"] == "rig"), 20)

    serve.kill9()
    lab.sleep(3)
    serve = serve.restart()
    goes_on("kill -9, back after 3 s")
    deploy = Deploy(fleet, "rig", 30, "--timeout=60s")
    lab.sleep(2)
    serve.stop()
    serve = serve.restart()
    rc, _, words, cuts = deploy.end()
    lab.check(f"a deployment outlives the end of serve, {cuts} cuts", (rc, words), rc == 0 and words == "deployed" and cuts == 1)
    lab.check("and took", round(lab.now() - deploy.began, 1), lab.now() - deploy.began < 25, "s")
    goes_on("an end in peace")
    lab.eventually("the workload is stopped", lambda: fleet.ask("stop_miner", "rig", "--name", "m", "--timeout=5s")[0] == 0, 30)
    lab.check("the log ends with the workload", follow.p.wait_exit(30), follow.p.p.returncode == 0)
    lab.check("lines lost, lines that came twice", follow.faults(), follow.faults() == (0, 0))
    for name, p in ("the log", follow.p), ("watch", watch), ("events", events):
        cut, back = p.json(event="cut"), [round(o["awaySeconds"], 1) for _, o in p.json(event="back")]
        lab.check(f"{name}: cuts, and returns after", (len(cut), back), len(cut) == len(back) == 2)
