"""A cable is pulled, and put in again: the machine says so by itself, and is back soon.

args: swarm binary
"""
from rig.swarm import Fleet

TOLD, BACK = 15, 5  # the most, in seconds


def main(lab, args):
    lan = lab.lan("lan")
    laptop, rig = lab.host("laptop", lan), lab.host("rig", lan)
    fleet = Fleet(args, laptop)
    serve = fleet.serve()
    fleet.join(rig, "rig")
    worker = fleet.worker(rig)
    lab.eventually("a command works", lambda: fleet.answers("rig"), 10)
    for host, log in ((rig, worker), (laptop, serve)):
        pulled = lab.now()
        host.unplug()
        t, line = log.wait_line("has lost its network", since=pulled, timeout=TOLD)
        lab.check(f"{host.name}: told after", t and round(t - pulled, 2), line is not None, "s")
        lab.eventually(f"{host.name}: the other end is offline", lambda: fleet.ask("get_stats", "rig", "--timeout=2s")[0] == 4, 10)
        host.plug()
        lab.eventually(f"{host.name}: back", lambda: fleet.ask("get_stats", "rig", "--timeout=1s")[0] == 0, BACK)
