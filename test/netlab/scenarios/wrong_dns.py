"""A router answers each question for a name with its own address, where another service answers. The relay is known by
name and address, and later by its name alone.

args: swarm binary
"""
import sys

from rig.journey import Journey
from rig.swarm import Fleet

WEB = """
import socket
s = socket.create_server(("", 4747))
print("ready", flush=True)
while True:
    c, _ = s.accept()
    try:
        c.settimeout(3)
        c.sendall(b"HTTP/1.1 400 Bad Request\\r\\nContent-Length: 0\\r\\n\\r\\n")
        c.close()
    except OSError:
        pass
"""


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    n1, n2 = lab.nat("n1", home, kind="symmetric"), lab.nat("n2", site, kind="symmetric")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    names = lab.names(lab.host("ns"))
    names.say(vps_lab=vps.ip)
    n1.spawn([sys.executable, "-c", WEB], name="web").wait_line("ready")
    fleet = Fleet(args, laptop)
    relay = fleet.relay(vps, "--mdns=false", "--external", "/dns4/vps.lab/tcp/4747", "--external", "/dns4/vps.lab/udp/4747/quic-v1")
    j = Journey(lab, fleet, rig)
    j.join(2)
    j.timed("the worker is there", 5, j.answers)
    j.command(1)
    names.say(vps_lab=f"{home.base}.1")
    j.command(1, "with wrong answers, a command")
    j.serve(3)
    j.command(0.5, "and with serve")
    j.server.stop()
    # Now the relay has another address, which only its name tells; and the name is told wrongly.
    new = vps.set_ip()
    lab.check("the relay has moved", new)
    j.doctor("what the name stands for", lambda rc, out: rc == 4 and f"vps.lab/tcp/4747 (/ip4/{home.base}.1/" in out, 7, "vps")
    names.say(vps_lab=new)
    j.timed("answers are right again: a command", 12, j.answers)
    j.command(1)
    j.serve(5)
    j.follow(2)
    names.say(vps_lab=f"{home.base}.1")
    relay.kill9()
    relay = relay.restart()
    relay.wait_json(event="ready", timeout=20)
    j.followed(10)
