"""An owner with two uplinks, who follows a log and deploys 30 MB while one is lost: it goes dark, it loses its address, and only
the default route moves. Both go on; no line is lost or comes twice, and at most 1 MiB is sent again.

args: swarm binary, serve (a controller serves) or alone
"""
from rig.resume import Deploy, Follow, talks
from rig.sh import sh
from rig.swarm import Fleet

MB, RATE = 30, 40e6  # 6 s on the wire


def main(lab, args):
    wifi, cable, site = lab.lan("wifi"), lab.lan("cable"), lab.lan("site")
    n1, n2 = lab.nat("n1", wifi), lab.nat("n2", cable)
    lab.nat("n3", site)
    laptop, rig, vps = lab.host("laptop", wifi), lab.host("rig", site), lab.host("vps")
    laptop._link("eth1", cable, cable.next_ip())
    rig.netem(rate=RATE, delay=5, dir="down")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    fleet.join(rig, "rig", "--via", "vps", enable="deploy,miner=refpow")
    fleet.worker(rig, "--mdns=false")
    if args[1] == "serve":
        fleet.serve("--mdns=false")
        lab.eventually("a direct path", lambda: fleet.paths().get("rig") == "direct", 20)
    lab.eventually("a workload runs", lambda: fleet.ask("start_miner", "rig", *talks(rig))[0] == 0, 20)
    follow = Follow(fleet, "rig")
    lab.eventually("its log is followed", lambda: len(follow.lines()) > 10, 20)

    def route(lan, dev):
        sh("ip", "-n", "laptop", "route", "replace", "default", "via", lan.gw, "dev", dev)

    def dark():
        n1.cut()
        lab.sleep(1)
        route(cable, "eth1")

    def address():
        sh("ip", "-n", "laptop", "addr", "del", f"{laptop.ip}/24", "dev", "eth0")
        route(cable, "eth1")

    def back():
        n1.mend()
        sh("ip", "-n", "laptop", "addr", "replace", f"{laptop.ip}/24", "dev", "eth0")
        route(wifi, "eth0")

    for name, flip in (("the uplink is dark", dark), ("the address is gone", address), ("the route moves", lambda: route(cable, "eth1"))):
        deploy = Deploy(fleet, "rig", MB)
        lab.sleep(3)
        lab.event("flip", what=name)
        flip()
        grows, t = follow.grows(), lab.now()
        rc, again, words, cuts = deploy.end()
        took = lab.now() - deploy.began
        lab.check(f"{name}: deploy of {MB} MB, {cuts} cuts", (rc, words, round(took, 1)), rc == 0 and words == "deployed" and took < 60)
        lab.check(f"{name}: sent again", again, again <= 1 << 20, "bytes")
        lab.eventually(f"{name}: the log goes on", grows, 60)
        back()
        lab.sleep(2)
        lab.eventually(f"{name}: the log goes on after the way back", follow.grows(), 60)
    lab.eventually("the workload is stopped", lambda: fleet.ask("stop_miner", "rig", "--name", "m", "--timeout=5s")[0] == 0, 30)
    lab.check("the log ends with the workload", follow.p.wait_exit(30), follow.p.p.returncode == 0)
    lab.check("lines lost, lines that came twice", follow.faults(), follow.faults() == (0, 0))
    lab.check("lines, cuts", (len(follow.lines()), len(follow.events("cut"))), len(follow.lines()) > 100)
    lab.check("each cut is told, and its end", len(follow.events("back")), len(follow.events("back")) == len(follow.events("cut")))
