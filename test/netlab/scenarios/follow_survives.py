"""What is followed goes on while the relay is restarted, the worker sleeps, is killed and is started again; so does a deployment.

args: swarm binary, seconds that the worker sleeps
"""
import glob
import os

from rig.resume import Deploy, Follow, talks
from rig.swarm import Fleet


def main(lab, args):
    asleep = int(args[1])
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind="symmetric")
    lab.nat("n2", site, kind="symmetric")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    rig.netem(rate=40e6, delay=5, dir="down")
    fleet = Fleet(args, laptop)
    relay = fleet.relay(vps, "--mdns=false")
    fleet.join(rig, "rig", "--via", "vps", enable="deploy,miner=refpow")
    worker = fleet.worker(rig, "--mdns=false")
    fleet.serve("--mdns=false")
    mine = talks(rig)
    lab.eventually("a workload runs", lambda: fleet.ask("start_miner", "rig", *mine)[0] == 0, 20)
    follow = Follow(fleet, "rig")
    lab.eventually("its log is followed, by the relay", lambda: len(follow.lines()) > 10 and fleet.paths()["rig"] == "relay", 20)

    def goes_on(what, most):
        took = lab.until(follow.grows(), most + 20)
        lab.check(f"{what}: the log goes on after", took, took is not None and took <= most, "s")

    relay = relay.restart()
    goes_on("the relay was restarted", 10)
    worker.pause()
    lab.sleep(asleep)
    worker.resume()
    goes_on(f"the worker slept {asleep} s", 10)
    deploy = Deploy(fleet, "rig", 30, "--timeout=60s")
    part = os.path.join(rig.dir, "worker", "deploy", "bundle", "staging-*", "bundle")
    lab.eventually("some of a deployment is there", lambda: any(os.path.getsize(f) > 4 << 20 for f in glob.glob(part)), 30)
    worker = worker.restart()
    rc, again, words, cuts = deploy.end()
    lab.check(f"a deployment outlives kill -9 of the worker, {cuts} cuts", (rc, words), rc == 0 and words == "deployed" and cuts > 0)
    lab.check("sent again", again, again <= 1 << 20, "bytes")
    lab.eventually("the log says that its workload ended with the worker", lambda: any(i.get("waiting") for i in follow.items()), 20)
    lab.eventually("the workload is started again", lambda: fleet.ask("start_miner", "rig", *mine)[0] == 0, 20)
    lab.eventually("the log says so", lambda: any("restarted" in i for i in follow.items()), 10)
    goes_on("the workload was started again", 5)
    lab.eventually("the workload is stopped", lambda: fleet.ask("stop_miner", "rig", "--name", "m", "--timeout=5s")[0] == 0, 30)
    lab.check("the log ends with the workload", follow.p.wait_exit(30), follow.p.p.returncode == 0)
    lab.check("lines lost, lines that came twice", follow.faults(), follow.faults() == (0, 0))
    cut, back = follow.events("cut"), follow.events("back")
    lab.check("cuts, and returns after", (len(cut), [round(o["awaySeconds"], 1) for o in back]), len(cut) == len(back) > 1)
