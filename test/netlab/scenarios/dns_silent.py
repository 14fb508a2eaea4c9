"""The name server is silent. The relay by which all meet is known by its name and by its IP address; later by its name alone.

args: swarm binary
"""
import json

from rig.swarm import Fleet


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind="symmetric")
    lab.nat("n2", site, kind="symmetric")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    names = lab.names(lab.host("ns"))
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    relay = fleet.relay(vps, *flags, "--external", "/dns4/vps.lab/tcp/4747", "--external", "/dns4/vps.lab/udp/4747/quic-v1")
    start = lab.now()
    fleet.join(rig, "rig", "--via", "vps")
    lab.check("join took", round(lab.now() - start, 2), unit="s")
    fleet.worker(rig, *flags)
    names_known = fleet.run("peers", "--json")
    lab.check("the relay is known by its name", None, "/dns4/vps.lab/" in names_known)

    def answers(most="10s"):
        return fleet.ask("get_stats", "rig", f"--timeout={most}")[0] == 0

    def timed(name, most):
        start = lab.now()
        ok = answers()
        took = round(lab.now() - start, 2)
        lab.check(name, took, ok and took <= most, "s")

    lab.until(answers, 20)
    for _ in range(3):
        timed("a command of its own, within 1 s", 1)
    serve = fleet.serve(*flags)
    took = lab.until(lambda: fleet.paths().get("rig"), 20)
    lab.check("serve has the worker, within 3 s", took and round(took, 2), took is not None and took <= 3, "s")
    for dark in (0, 6, 12):
        relay.kill9()
        lab.sleep(dark)
        relay = relay.restart()
        relay.wait_json(event="ready", timeout=20)
        took = lab.until(lambda: answers("2s"), 40)
        lab.check(f"relay killed, back after {dark} s: a command works within 5 s", took and round(took, 2), took is not None and took <= 5, "s")
        lab.sleep(2)
    serve.stop()
    r = laptop.call(fleet.bin, "doctor", "vps", "--json", *fleet.state(laptop, "controller"), *flags)
    lab.say(r.stdout)
    found = {f.get("code"): f["text"] for f in map(json.loads, r.stdout.splitlines())}
    lab.check("doctor says that the name server does not answer", found.get("DNS"), "does not answer" in found.get("DNS", ""))
