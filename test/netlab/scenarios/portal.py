"""A portal answers in the place of all machines, at the owner's or at the worker's network, until somebody signs in there.

args: swarm binary, http or mute, owner or worker
"""
import json
import time

from rig.swarm import Fleet

PORTAL = """
import socket, sys
s = socket.create_server(("", 8080))
held = []
print("ready", flush=True)
while True:
    c, _ = s.accept()
    if sys.argv[1] == "http":
        c.settimeout(3)
        try:
            c.recv(4096)
            c.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://portal.example/\\r\\nContent-Length: 0\\r\\n\\r\\n")
        except OSError:
            pass
        c.close()
    else:
        held.append(c)
"""


def main(lab, args):
    kind, where = args[1], args[2]
    home, site = lab.lan("home"), lab.lan("site")
    n1, n2 = lab.nat("n1", home), lab.nat("n2", site)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    fleet.join(rig, "rig", "--via", "vps")
    fleet.worker(rig, "--mdns=false")
    took = lab.until(lambda: fleet.answers("rig"), 30)
    lab.check("a command works", took, took is not None)

    router = n1 if where == "owner" else n2
    portal = router.spawn(["python3", "-c", PORTAL, kind], name="portal")
    portal.wait_line("ready")
    router.nft("""table ip portal {
 chain into { type nat hook prerouting priority -101;
  iifname "lan" tcp dport 1-65535 redirect to :8080; }
 chain past { type filter hook forward priority -11;
  iifname "lan" drop; oifname "lan" drop; }
}""")

    def doctor(*name):
        began = time.monotonic()
        r = laptop.call(fleet.bin, "doctor", *name, "--json", "--mdns=false", "--timeout=5s", *fleet.state(laptop, "controller"), timeout=60)
        found = [json.loads(line) for line in r.stdout.splitlines()]
        return r.returncode, round(time.monotonic() - began, 1), {f.get("code"): f["text"] for f in found if f["level"] == "fail"}, found

    if where == "worker":
        time.sleep(6)  # until the relay has noticed
    rc, took, codes, found = doctor("rig")
    want = "PORTAL" if where == "owner" else "OFFLINE"
    lab.check("doctor names it, in time", (rc, took, codes), rc == 4 and want in codes and took <= 6)
    if where == "owner":
        serve = fleet.serve("--mdns=false")
        rc, took, codes, found = doctor()
        lab.check("doctor of this machine names it, too", (rc, took, codes), rc == 4 and "PORTAL" in codes and took <= 6)
        rc, took, codes, found = doctor("rig")
        lab.check("and with serve", (rc, took, codes), rc == 4 and "PORTAL" in codes and took <= 6)

    router.nft("delete table ip portal")
    took = lab.until(lambda: fleet.answers("rig"), 30)
    lab.check("it is open: a command works", took, took is not None and took <= 10, "s")
    rc, took, codes, found = doctor("rig")
    lab.check("and the rig is well", (rc, took, codes), rc == 0 and took <= 3)
