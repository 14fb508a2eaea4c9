"""Owner, worker or relay has a wrong clock: by two hours, by a year, or only when it starts. They sit behind NATs and meet by the relay.

args: swarm binary with a clock of its own (see test/skewed), transport: tcp, ws or quic
"""
from rig.swarm import Fleet

H, Y = 3600, 365 * 86400
CLOCKS = {"-2 h": (-2 * H, False), "+2 h": (2 * H, False), "-1 y": (-Y, False), "+2 h at the start only": (2 * H, True)}
LISTEN = {"tcp": "/ip4/0.0.0.0/tcp/4747", "ws": "/ip4/0.0.0.0/tcp/4747/ws", "quic": "/ip4/0.0.0.0/udp/4747/quic-v1"}


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind="symmetric")
    lab.nat("n2", site, kind="symmetric")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    flags, at = ["--mdns=false"], ["--listen", LISTEN[args[1]]]
    fleet.call_in(vps, "vps", role="relay", listen=at[1])

    def relay():
        return fleet.node(vps, ["relay"], *flags, *at)

    def worker():
        return fleet.worker(rig, *flags, *at)

    def serve():
        return fleet.serve(*flags, *at)

    running = {vps: relay()}
    fleet.run("grant", "vps", "--issue", "worker", *flags)
    fleet.join(rig, "rig", "--via", "vps")
    running |= {rig: worker(), laptop: serve()}
    start = {vps: relay, rig: worker, laptop: serve}
    lab.eventually("a command works", lambda: fleet.answers("rig"), 20)
    lab.check("by the relay", fleet.paths(), fleet.paths().get("rig") == "relay")

    def restart(host, env):
        running[host].stop()
        host.env = env
        running[host] = start[host]()

    for host, who in (laptop, "owner"), (rig, "worker"), (vps, "relay"):
        for name, (ahead, only_at_start) in CLOCKS.items():
            restart(host, {"CLOCK_SKEW": str(ahead)} | ({"CLOCK_AFTER": "2"} if only_at_start else {}))
            if only_at_start:
                lab.sleep(2)
                if host is laptop:
                    host.env = {}  # commands start now; it is the clock of serve that was wrong
            took = lab.until(lambda: fleet.answers("rig"), 20)
            most = 8 if host is vps else 5  # a relay was restarted
            lab.check(f"the {who}'s clock {name}: a command works within {most} s", took and round(took, 2),
                      took is not None and took <= most, "s")
            whom = "vps" if host is vps else "rig"
            r = laptop.call(fleet.bin, "doctor", whom, *fleet.state(laptop, "controller"), *flags)
            lines = [line for line in r.stdout.splitlines() if line.lstrip("!x ").startswith("clock")]
            if only_at_start:
                lab.check("doctor names no clock", lines, all(line.split()[:2] == ["clock", "as"] for line in lines))
            else:
                lab.check("doctor names the clock", lines, any("the clocks differ" in line for line in lines))
            host.env = {}
        restart(host, {})
