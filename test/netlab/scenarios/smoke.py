"""A LAN of three workers and a controller: every way to find a worker, a partition, and a worker that dies.

args: [path of the swarm binary]
"""
from rig.swarm import Swarm


def ok(lines):
    return sorted(name for name, line in lines.items() if line["ok"])


def main(lab, args):
    swarm, lan = Swarm(args), lab.lan("home")
    ctl = lab.host("ctl", lan)
    h1, h2, h3 = (lab.host(f"w{i}", lan) for i in (1, 2, 3))
    allow = "--allow=" + swarm.id(ctl, "controller")
    w1 = swarm.worker(h1, allow, "--mdns=false")
    w2 = swarm.worker(h2, allow, "--mdns=false", "--bootstrap", w1.addr)
    w3 = swarm.worker(h3, allow, "--beacon=false")  # told of nobody: mDNS is all it has

    rc, got = swarm.exec(ctl, "get_stats", w1.addr, "--mdns=false")
    lab.check("by address", (rc, ok(got)), (rc, ok(got)) == (0, ["w1"]))
    lab.eventually("one bootstrap address finds the other worker", lambda: ok(
        swarm.exec(ctl, "get_stats", "--all", "--bootstrap", w1.addr, "--mdns=false")[1]) == ["w1", "w2"])
    lab.eventually("mDNS alone", lambda: "w3" in ok(swarm.exec(ctl, "get_stats", "--all")[1]))
    rc, got = swarm.exec(ctl, "get_stats", "--all", "--wait=0s", "--mdns=false")
    lab.check("all three are in the address book now", (rc, ok(got)), (rc, ok(got)) == (0, ["w1", "w2", "w3"]))

    rc, got = swarm.exec(ctl, "get_stats", w1.addr, state="stranger")
    lab.check("a stranger is refused", rc, rc == 5 and got[w1.peer]["error"]["code"] == 403)

    lab.partition(ctl, h1)
    rc, got = swarm.exec(ctl, "get_stats", w1.addr, "--timeout=4s", "--mdns=false")
    words = got["w1"]["error"]["message"]
    lab.check("partition: offline, exit 4", (rc, words), rc == 4 and got["w1"]["error"]["code"] in (408, 503))
    lab.heal()
    lab.eventually("healed: answers again", lambda: swarm.exec(ctl, "get_stats", w1.addr, "--mdns=false")[0] == 0)

    w2.kill9()
    rc, got = swarm.exec(ctl, "get_stats", w1.peer, w2.peer, w3.peer, "--timeout=15s")
    lab.check("kill -9 of one: the others answer, it is offline, exit 3", (rc, ok(got)),
              (rc, ok(got)) == (3, ["w1", "w3"]) and got["w2"]["error"]["code"] in (408, 503))
    w2.restart()
    lab.eventually("it comes back", lambda: swarm.exec(ctl, "get_stats", w2.peer)[0] == 0)

    for w in (w1, w3):
        w.stop()
    lab.check("clean exit", (w1.rc, w3.rc), (w1.rc, w3.rc) == (0, 0))
