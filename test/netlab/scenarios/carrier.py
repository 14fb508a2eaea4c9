"""Owner and worker behind carriers that give each destination another address of a pool, each customer few ports, and
forget UDP after 10 s and TCP after 25 s of silence; what is not known is dropped.

args: swarm binary
"""
from rig.journey import Journey
from rig.sh import sh
from rig.swarm import Fleet


def pooled(lab, nat, ports):
    """the router translates to a pool of four addresses, chosen by source and destination, and to few ports"""
    net, last = nat.wan_ip.rsplit(".", 1)
    for i in range(1, 4):
        sh("ip", "-n", nat.name, "addr", "add", f"{net}.{int(last) + i}/{lab.inet.plen()}", "dev", "wan")
    pool = f"{net}.{last}-{net}.{int(last) + 3}"
    nat.nft(f"""flush chain ip nat cpost
table ip nat {{
 chain cpost {{
  oifname "wan" meta l4proto {{ tcp, udp }} snat ip to {pool}:{ports} fully-random
  oifname "wan" snat ip to {pool}
 }}
}}""")
    nat.nft("table ip carrier {\n chain pre { type filter hook prerouting priority -150; ct state invalid drop; }\n}")
    sh("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0", "net.netfilter.nf_conntrack_tcp_timeout_established=25",
       "net.netfilter.nf_conntrack_udp_timeout=10", "net.netfilter.nf_conntrack_udp_timeout_stream=10", ns=nat.name)


def main(lab, args):
    home, site = lab.lan("home"), lab.lan("site")
    n1, n2 = lab.nat("n1", home), lab.nat("n2", site)
    pooled(lab, n1, "40000-40063")
    pooled(lab, n2, "50000-50063")
    laptop, rig, vps, vps2 = lab.host("laptop", home), lab.host("rig", site), lab.host("vps"), lab.host("vps2")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    fleet.relay(vps2, "--mdns=false", issues=False)
    j = Journey(lab, fleet, rig)
    j.join(2)
    j.timed("the worker is there", 5, j.answers)
    j.command(1.5)
    j.serve(5)
    j.follow(2)
    j.deploy(10, 8)
    idle = lab.now()
    lab.sleep(16)
    j.command(0.5, f"after {round(lab.now() - idle)} s")
    j.followed(2)
    lab.check("path", fleet.paths().get("rig"))
    ports = [len([s for s in sh("conntrack", "-L", ns=n.name).splitlines() if "ESTABLISHED" in s or "udp" in s]) for n in (n1, n2)]
    lab.check("ports that are in use at the carriers", ports, max(ports) <= 32)
