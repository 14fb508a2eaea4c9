"""Networks whose only way out is a proxy with a password: HTTP CONNECT at the owner's, SOCKS5 at the worker's, and no name
server in either. The relay in the open is known by a name that only the proxies know.

args: swarm binary
"""
import os

from rig import proxy
from rig.swarm import Fleet

MB = 20
NAME = "relay.example.com"


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    n1, n2 = lab.nat("n1", home), lab.nat("n2", site)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    proxies = []
    for router, kind in ((n1, "http"), (n2, "socks")):
        router.nft("table ip no { chain way { type filter hook forward priority -20; policy drop; }\n}")
        p = router.spawn(["python3", proxy.__file__, kind, "3128", f"{NAME}={vps.ip}"], name="proxy")
        p.wait_line("ready", timeout=5)
        proxies.append(p)
    # The owner has it in the configuration, the worker in the environment.
    config = os.path.join(laptop.dir, ".config", "swarm")
    os.makedirs(config)
    with open(os.path.join(config, "config.yaml"), "w") as f:
        f.write(f"proxy: http://me:secret@{home.gw}:3128\n")
    rig.env["all_proxy"] = f"socks5h://me:secret@{site.gw}:3128"

    fleet = Fleet(args, laptop)
    relay = fleet.relay(vps, "--external", f"/dns4/{NAME}/tcp/4747")
    start = lab.now()
    fleet.join(rig, "rig", "--via", "vps")
    took = lab.now() - start
    lab.check("invite and join", round(took, 2), took <= 3, "s")
    worker = fleet.worker(rig, "--mdns=false")
    by = "others reach this node by way of a relay"
    took = lab.until(lambda: by in worker.logs(), 15)
    lab.check("the worker has its relay", took, took is not None and took <= 3, "s")
    for _ in range(3):
        start = lab.now()
        answers = fleet.answers("rig")
        took = round(lab.now() - start, 2)
        lab.check("a command without a controller that serves", took, answers and took <= 2, "s")
    fleet.serve("--mdns=false")
    lab.eventually("serve is connected with the worker", lambda: fleet.paths().get("rig") == "relay", 5)
    start = lab.now()
    lab.check("a command through it", round(lab.now() - start, 2), fleet.answers("rig"), "s")
    path = fleet.bundle(MB << 20)
    start = lab.now()
    rc, got = fleet.ask("deploy", "rig", path, "--timeout=60s", timeout=70)
    took = lab.now() - start
    lab.check(f"deploy of {MB} MB", round(took, 2), rc == 0 and got["rig"]["ok"] and took <= 10, "s")
    for p in proxies:
        lab.check("the proxy was asked for the relay's name", p.host.name, f"asked for {NAME}" in p.logs())

    r = laptop.call(fleet.bin, "ping", f"/ip4/{vps.ip}/tcp/4747/p2p/{relay.peer}", "--proxy",
                    f"http://me:wrong@{home.gw}:3128", "--mdns=false", "--timeout=5s", timeout=20)
    said = r.stdout + r.stderr
    refused = f"the proxy at {home.gw}:3128 refused: 407 Proxy Authentication Required"
    lab.check("a wrong password is told", said.strip()[-300:], r.returncode and refused in said and "wrong" not in said)
