"""The owner behind one NAT, a worker behind another, and a relay in the open: the whole journey.

args: swarm binary, kind of the owner's NAT, kind of the worker's, what to expect (direct or relay), and
options: double (the worker's NAT is behind another), noudp (the worker's NAT drops UDP), member (a worker that relays
takes the place of the relay)
"""
from rig.swarm import Fleet

MB = 50


def main(lab, args):
    mine, theirs, expected, options = args[1], args[2], args[3], args[4:]
    home, site, outside = lab.lan("home"), lab.lan("site"), lab.inet
    if "double" in options:
        outside = lab.lan("provider")
        lab.nat("carrier", outside, kind="cone")
    lab.nat("n1", home, kind=mine)
    lab.nat("n2", site, outside=outside, kind=theirs, udp="noudp" not in options)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)

    # The relay can be called; it calls nobody behind a NAT. Then it lets machines in for the owner.
    if "member" in options:
        fleet.call_in(vps, "vps")
        relay = fleet.worker(vps, "--relay")
        fleet.run("grant", "vps", "--issue", "worker", "--mdns=false")
    else:
        relay = fleet.relay(vps)
    fleet.join(rig, "rig", "--via", "vps", enable="deploy,miner=refpow")
    worker = fleet.worker(rig, "--mdns=false")

    lab.eventually("a command without a controller that serves goes by way of the relay", lambda: fleet.answers("rig"), 15)
    fleet.serve("--mdns=false")
    watch = laptop.spawn([fleet.bin, "controller", "watch", "--json", *fleet.state(laptop, "controller")], name="watch")
    took = lab.until(lambda: fleet.paths().get("rig") not in ("", None), 15)
    lab.check("connected with the controller that serves", took, took is not None, "s")
    took = lab.until(lambda: fleet.paths().get("rig") == expected, 10)
    lab.check(f"path: {expected}", (fleet.paths(), took), took is not None, "s")

    path = fleet.bundle(MB << 20)
    start = lab.now()
    rc, got = fleet.ask("deploy", "rig", path, "--timeout=120s", timeout=130)
    lab.check(f"deploy of {MB} MB", lab.now() - start, rc == 0 and got["rig"]["ok"], "s")
    rc, got = fleet.ask("start_miner", "rig", "--miner", "xmrig", "--pool", "stratum+tcp://127.0.0.1:9")
    lab.check("what the owner of the machine did not enable is refused", rc, got["rig"]["error"]["code"] == 422)
    rc, got = fleet.ask("start_miner", "rig", "--name", "m", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9")
    lab.check("a workload is started", rc, rc == 0)
    log = laptop.spawn([fleet.bin, "controller", "exec", "get_logs", "rig", "--name", "m", "--follow", "--json",
                        *fleet.state(laptop, "controller")], name="follow")
    start = lab.now()
    line = log.wait_line('"text"', timeout=15)
    lab.check("its log is followed", lab.now() - start, line is not None, "s")
    log.stop()
    if expected == "direct":
        lab.sleep(6)  # the relay is left when there has been a direct path for five seconds
    asked = lab.now()
    t, _ = watch.wait_line('"name":"rig"', since=asked, timeout=15)
    lab.check("its stats are pushed", t - asked, True, "s")
    lab.check("one place with the relay", worker.logs().count("by way of a relay"), "by way of a relay" in worker.logs())
    lab.check("the relay lives", relay.rss_kb(), relay.alive(), "kB")
