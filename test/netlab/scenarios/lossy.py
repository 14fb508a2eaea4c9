"""A line with a round trip of 300 ms that loses 3 % of its packets, between the owner and a machine behind a relay.

args: swarm binary
"""
import statistics

from rig.swarm import Fleet

KB = 512

# What plain TCP needs for the same bytes to the relay, with the kernel's own congestion control.
PLAIN = """
import socket, sys, time
if sys.argv[1] == "serve":
    listener = socket.create_server(("", 5001))
    print("ready", flush=True)
    while True:
        c, _ = listener.accept()
        while c.recv(65536):
            pass
        c.close()
start = time.monotonic()
c = socket.create_connection((sys.argv[1], 5001))
c.sendall(bytes(int(sys.argv[2]) << 10))
c.shutdown(socket.SHUT_WR)
c.recv(1)
print(time.monotonic() - start)
"""


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    router = lab.nat("n1", home, kind="symmetric")
    lab.nat("n2", site, kind="symmetric")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps)
    fleet.join(rig, "rig", "--via", "vps")
    worker = fleet.worker(rig, "--mdns=false")
    by = "others reach this node by way of a relay"
    lab.until(lambda: by in worker.logs(), 10)
    router.netem(delay=150, loss=0.03)

    def command():
        start = lab.now()
        answers = fleet.answers("rig")
        return round(lab.now() - start, 2) if answers else 60

    times = [command() for _ in range(11)]
    lab.check("commands without a controller that serves", times, statistics.median(times) <= 1.8, "s")
    fleet.serve("--mdns=false")
    lab.eventually("serve is connected with the worker", lambda: fleet.paths().get("rig") == "relay", 10)
    times = [command() for _ in range(7)]
    lab.check("commands through serve", times, statistics.median(times) <= 0.5, "s")

    vps.spawn(["python3", "-c", PLAIN, "serve"], name="plain").wait_line("ready", timeout=5)
    plain = float(laptop.run("python3", "-c", PLAIN, vps.ip, str(KB)))
    path = fleet.bundle(KB << 10)
    start = lab.now()
    rc, got = fleet.ask("deploy", "rig", path, "--timeout=60s", timeout=70)
    lab.check(f"deploy of {KB} KB", round(lab.now() - start, 1), rc == 0 and got["rig"]["ok"], "s")
    lab.check("plain TCP for the same", round(plain, 1), None, "s")
