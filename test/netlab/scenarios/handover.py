"""The worker is on a mobile network that hands it over every 15 s: 2 s of silence, then another address outside, and 80 to 140 ms of
delay; a log is followed and 6 MB are deployed meanwhile.

args: swarm binary
"""
import threading

from rig.journey import Journey
from rig.swarm import Fleet


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home)
    n2 = lab.nat("n2", site, kind="symmetric")
    n2.netem(delay=55, jitter=15, rate=3e6, queue=400)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    j = Journey(lab, fleet, rig)
    j.join(4)
    j.timed("the worker is there", 5, j.answers)
    j.serve(5)
    j.follow(4)
    j.command(1)
    ended, gone = threading.Event(), []

    def hand_over():
        while not ended.wait(13):
            n2.cut()
            lab.sleep(2)
            n2.set_wan_ip()
            n2.mend()
            gone.append(lab.now())

    t = threading.Thread(target=hand_over, daemon=True)
    t.start()
    took = []
    d = threading.Thread(target=lambda: j.deploy(6, 45))
    d.start()
    while d.is_alive():
        start = lab.now()
        ok = j.answers()
        took.append((round(lab.now() - start, 1), ok))
        lab.sleep(1)
    d.join()
    ended.set()
    t.join()
    lab.check("handovers", len(gone), len(gone) >= 1)
    lab.check("commands meanwhile: failed, slowest", (len([1 for _, ok in took if not ok]), max(s for s, _ in took), len(took)),
              all(ok for _, ok in took) and max(s for s, _ in took) <= 8)
    j.followed(8)
    j.command(1, "a command afterwards")
