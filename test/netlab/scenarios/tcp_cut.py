"""A network without UDP whose firewall resets each TCP connection after 3 MB, or drops its packets without a word, and forgets one
that is idle for 20 s.

args: swarm binary, reset or drop
"""
from rig.journey import Journey
from rig.sh import sh
from rig.swarm import Fleet


def main(lab, args):
    how = {"reset": "reject with tcp reset", "drop": "drop"}[args[1]]
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home, kind="symmetric", udp=False)
    n2 = lab.nat("n2", site, kind="symmetric", udp=False)
    sh("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1", "net.netfilter.nf_conntrack_tcp_loose=0",
       "net.netfilter.nf_conntrack_tcp_timeout_established=20", ns=n2.name)
    n2.netem(delay=10, rate=40e6)
    n2.nft(f"""table ip metered {{
 chain forwarded {{
  type filter hook forward priority -5
  ct state invalid drop
  meta l4proto tcp ct bytes > 3000000 counter {how}
 }}
}}""")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    j = Journey(lab, fleet, rig)
    j.join(2)
    j.timed("the worker is there", 5, j.answers)
    j.command(1.5)
    j.serve(5)
    j.follow(2)
    j.deploy(10, 30)
    j.followed(8)
    j.command(1)
    rules = sh("nft", "list", "chain", "ip", "metered", "forwarded", ns=n2.name)
    lab.check("connections were cut", None, "counter packets 0" not in rules)
