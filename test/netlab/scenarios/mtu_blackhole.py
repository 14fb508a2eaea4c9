"""Owner and worker behind routers whose links carry 1,280 bytes, and that do not say so: what is larger vanishes.

args: swarm binary, 4 or 6 (which IP)
"""
from rig.sh import sh
from rig.swarm import Fleet

MB = 20


def v6(lab, vps, sites):
    """IPv6 for a host and for sites, each a router and a host; a way from one site to the other there is not"""
    def ip(node, *argv):
        sh("ip", "-6", "-n", node.name, *argv)
    ip(vps, "addr", "add", "2a00:1::10/64", "dev", "eth0", "nodad")
    for i, (router, host) in enumerate(sites, 2):
        sh("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.icmp.ratelimit=0", ns=router.name)
        ip(router, "addr", "add", f"2a00:1::{i}/64", "dev", "wan", "nodad")
        ip(router, "addr", "add", f"2a00:{i}::1/64", "dev", "lan", "nodad")
        ip(host, "addr", "add", f"2a00:{i}::10/64", "dev", "eth0", "nodad")
        ip(host, "route", "add", "default", "via", f"2a00:{i}::1")
        ip(vps, "route", "add", f"2a00:{i}::/64", "via", f"2a00:1::{i}")


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    routers = [lab.nat("n1", home, kind="symmetric"), lab.nat("n2", site, kind="symmetric")]
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    if args[1] == "6":
        v6(lab, vps, zip(routers, (laptop, rig)))
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    fleet.relay(vps, *flags)
    for r in routers:
        for link in ("lan", "wan"):
            sh("ip", "-n", r.name, "link", "set", link, "mtu", "1280")
        r.nft("table inet hole { chain out { type filter hook output priority 0; icmp type destination-unreachable drop;"
              " icmpv6 type packet-too-big drop; }\n}")
    if args[1] == "6":
        for h in (laptop, rig):
            sh("ip", "-4", "-n", h.name, "addr", "flush", "dev", "eth0")
        ping, at = "ping -6", "2a00:1::10"
    else:
        ping, at = "ping -4", vps.ip
    for size, passes in (1200, True), (1300, False):
        rc = rig.call(*ping.split(), "-c1", "-W1", "-Mdo", f"-s{size}", at).returncode
        lab.check(f"the network lets {size} bytes pass: {passes}", rc, (rc == 0) == passes)

    def timed(name, most, do):
        start = lab.now()
        ok = do()
        took = round(lab.now() - start, 2)
        return lab.check(f"{name}, within {most} s", took, ok is not False and took <= most, "s")

    timed("join", 3, lambda: fleet.join(rig, "rig", "--via", "vps", enable="deploy,miner=refpow"))
    fleet.worker(rig, *flags)
    lab.until(lambda: fleet.answers("rig"), 20)
    timed("a command of its own", 3, lambda: fleet.answers("rig"))
    fleet.serve(*flags)
    took = lab.until(lambda: fleet.paths().get("rig"), 20)
    lab.check("serve has the worker, within 5 s", took and round(took, 2), took is not None and took <= 5, "s")
    timed("a command", 1, lambda: fleet.answers("rig"))
    path = fleet.bundle(MB << 20)
    timed(f"deploy of {MB} MB", 15, lambda: fleet.ask("deploy", "rig", path, "--timeout=60s", timeout=70)[0] == 0)
    timed("a workload is started", 3, lambda: fleet.ask(
        "start_miner", "rig", "--name", "m", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9")[0] == 0)
    log = laptop.spawn([fleet.bin, "controller", "exec", "get_logs", "rig", "--name", "m", "--follow", "--json",
                        *fleet.state(laptop, "controller")], name="follow")
    timed("its log is followed", 5, lambda: log.wait_line('"text"', timeout=15) is not None)
    lab.check("path", fleet.paths().get("rig"))
