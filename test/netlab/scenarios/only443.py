"""Networks that let out nothing but TCP to port 443 that begins like TLS, on the owner's side and on the worker's. A relay
in the open listens there with WebSocket in TLS.

args: swarm binary
"""
from rig.sh import sh
from rig.swarm import Fleet

MB = 20
WEB = "/ip4/0.0.0.0/tcp/443/tls/ws"

# What begins otherwise is marked, and dropped from then on: a second attempt of TCP must not pass.
ONLY_TLS = """table ip web {
 chain look { type filter hook forward priority -20; policy drop;
  ct mark 0x1 drop
  iifname "lan" tcp dport 443 ct original packets <= 3 meta length > 60 @ih,0,8 != 0x16 ct mark set 0x1 counter drop
  iifname "lan" tcp dport 443 accept
  iifname "wan" tcp sport 443 accept
 }
}"""


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    routers = [lab.nat("n1", home), lab.nat("n2", site)]
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    for router in routers:
        sh("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1", ns=router.name)
        router.nft(ONLY_TLS)

    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--listen", WEB, "--listen", "/ip4/0.0.0.0/tcp/4747", "--listen", "/ip4/0.0.0.0/udp/4747/quic-v1", listen=WEB)
    start = lab.now()
    fleet.join(rig, "rig", "--via", "vps")
    took = lab.now() - start
    lab.check("invite and join", round(took, 2), took <= 3, "s")
    worker = fleet.worker(rig, "--mdns=false")
    by = "others reach this node by way of a relay"
    took = lab.until(lambda: by in worker.logs(), 15)
    lab.check("the worker has its relay", took, took is not None and took <= 3, "s")

    times = []
    for _ in range(5):
        start = lab.now()
        answers = fleet.answers("rig")
        times.append(round(lab.now() - start, 2))
        lab.check("a command without a controller that serves", times[-1], answers and times[-1] <= 3, "s")
    fleet.serve("--mdns=false")
    lab.eventually("serve is connected with the worker", lambda: fleet.paths().get("rig") == "relay", 5)
    start = lab.now()
    lab.check("a command through it", round(lab.now() - start, 2), fleet.answers("rig"), "s")
    path = fleet.bundle(MB << 20)
    start = lab.now()
    rc, got = fleet.ask("deploy", "rig", path, "--timeout=60s", timeout=70)
    took = lab.now() - start
    lab.check(f"deploy of {MB} MB", round(took, 2), rc == 0 and got["rig"]["ok"] and took <= 10, "s")

    plain = laptop.call("python3", "-c", f"""
import socket
s = socket.create_connection(("{vps.ip}", 443), 3)
s.settimeout(2)
s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" + b"x" * 100)
s.recv(1)
""")
    lab.check("what is not TLS does not pass", plain.stderr.strip().splitlines()[-1:], "timed out" in plain.stderr)
