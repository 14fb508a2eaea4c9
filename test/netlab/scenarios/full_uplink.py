"""N workers behind one slow uplink that their pushed stats nearly fill, with a log that is followed: commands come through.

The workers sit behind a NAT whose uplink has a rate and a short queue, and are reached directly or, with symmetric NATs, by a relay.
Slowness is not death: hardly a connection is given up for it, and a bundle arrives while all else goes on, at a machine that answers
meanwhile. What is offered is measured after the first seconds: what is under way when the link turns slow is sent again.

args: swarm binary [, N [, bit/s [, kind of the NATs]]]
"""
import json
import re

from rig.sh import sh
from rig.swarm import Fleet

DEAD = re.compile("a connection is dead|a relay does not answer")


def quick(took):
    """all have ended, and all but one within 5 s: whose packets are lost several times in a row waits longer"""
    return None not in took and sum(t > 5 for t in took) <= 1


def main(lab, args):
    n, rate, kind = [*args[1:4], *["20", "128000", "cone"][len(args) - 1:]]
    n, rate = int(n), int(rate)
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind=kind)
    router = lab.nat("n2", site, kind=kind)
    laptop, vps = lab.host("laptop", home), lab.host("vps")
    hosts = [lab.host(f"w{i}", site) for i in range(n)]
    site.introduce()
    fleet = Fleet(args, laptop)
    relay = fleet.relay(vps, "--mdns=false")
    for h in hosts:
        fleet.join(h, h.name, "--via", "vps", enable="deploy,miner=refpow")

    def sent():
        """bytes that the router wanted to send, and those that it got"""
        link = json.loads(sh("ip", "-n", router.name, "-s", "-j", "link", "show", "wan"))[0]["stats64"]
        return link["tx"]["bytes"], link["rx"]["bytes"]

    serve = fleet.serve("--mdns=false")
    watch = laptop.spawn([fleet.bin, "controller", "watch", "--json", *fleet.state(laptop, "controller")], name="watch")
    began = lab.now()
    workers = [fleet.worker(h, "--mdns=false") for h in hosts]
    programs = [relay, serve, *workers]
    lab.eventually(f"{n} workers are connected", lambda: sum(1 for p in fleet.paths().values() if p) > n, 60)
    rc, _ = fleet.ask("start_miner", "w0", "--name", "m", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9", "--timeout=15s")
    lab.check("a workload is started", rc, rc == 0)
    laptop.spawn([fleet.bin, "controller", "exec", "get_logs", "w0", "--name", "m", "--follow", "--json",
                  *fleet.state(laptop, "controller")], name="follow").wait_line('"text"', timeout=20)

    lab.sleep(5)
    router.netem(rate=rate)
    turned, took = sent()[0], []
    for i in range(12):
        if i == 4:
            up, down, at = *sent(), lab.now()
            lab.check("sent while the link turns slow", up - turned, True, "bytes")
        start = lab.now()
        rc, _ = fleet.ask("get_stats", f"w{(i * 7 + 3) % n}", "--timeout=15s")
        took.append(round(lab.now() - start, 2) if rc == 0 else None)
        lab.sleep(0.5)
    lab.check("12 commands while the link fills", took, quick(took), "s")
    up2, down2 = sent()
    offered = (up2 - up) * 8 / (lab.now() - at)
    lab.check("offered by the site", round(offered), offered <= 1.25 * rate, "bit/s")
    lab.check("taken by the site", round((down2 - down) * 8 / (lab.now() - at)), True, "bit/s")

    path = fleet.bundle(1 << 19)
    deploy = laptop.spawn([fleet.bin, "controller", "exec", "deploy", "w3", path, "--json", "--mdns=false", "--timeout=60s",
                           *fleet.state(laptop, "controller")], name="deploy")
    start, took = lab.now(), []
    while deploy.alive() and lab.now() - start < 150:
        asked = lab.now()
        rc, _ = fleet.ask("get_stats", "w3" if len(took) % 2 else f"w{(len(took) * 7 + 1) % n}", "--timeout=15s")
        took.append(round(lab.now() - asked, 2) if rc == 0 else None)
        lab.sleep(1)
    lab.check("0.5 MB are deployed", lab.now() - start, deploy.wait_exit(1) == 0, "s")
    lab.check("commands beside it, half of them at the same machine", took, quick(took), "s")
    r = laptop.call(fleet.bin, "doctor", "w3", "--mdns=false", *fleet.state(laptop, "controller"))
    lab.check("doctor does not say OFFLINE", r.stdout.splitlines()[:2], "OFFLINE" not in r.stdout)
    dead = sum(len(DEAD.findall(p.logs())) for p in programs)
    lab.check("connections told dead", dead, dead <= 4)
    pushed = {line["name"] for _, line in watch.json(type="stats")}
    lab.check("workers whose stats were pushed", len(pushed), len(pushed) >= n, f"of {n}, in {lab.now() - began:.0f} s")
