"""Networks with IPv6 alone, whose router translates to IPv4 (NAT64) and says so in the answers of its name server (DNS64); nothing on
the machine translates back. The relay has IPv4 alone, and no name.

args: swarm binary, who is in such a network: worker, owner or both
"""
import os
import sys

from rig.journey import Journey
from rig.sh import sh
from rig.swarm import Fleet

TRANSLATOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "rig", "nat64.py")
NAMES = "fd53::53"


def only6(lab, router, host, i):
    """a LAN of IPv6 alone behind a router that translates"""
    def ip(node, *argv):
        sh("ip", "-n", node.name, *argv)
    pool = lab.inet.next_ip()
    router.spawn([sys.executable, "-u", TRANSLATOR, pool], name="nat64").wait_line("ready")
    sh("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.wan.proxy_arp=1", ns=router.name)
    router.nft("delete table ip lab\ndelete table ip nat")
    ip(router, "link", "set", "nat64", "up")
    ip(router, "-6", "route", "add", "64:ff9b::/96", "dev", "nat64")
    ip(router, "route", "add", pool, "dev", "nat64")
    ip(router, "-4", "addr", "flush", "dev", "lan")
    ip(host, "-4", "addr", "flush", "dev", "eth0")
    ip(router, "addr", "add", f"{NAMES}/128", "dev", "lo")
    ip(router, "addr", "add", f"2a00:{i}::1/64", "dev", "lan", "nodad")
    ip(host, "addr", "add", f"2a00:{i}::10/64", "dev", "eth0", "nodad")
    ip(host, "route", "add", "default", "via", f"2a00:{i}::1")
    lab.names(router, NAMES).say(ipv4only_arpa="64:ff9b::c000:aa")


def main(lab, args):
    where = args[1]
    home, site = lab.lan("home"), lab.lan("site")
    n1, n2 = lab.nat("n1", home), lab.nat("n2", site)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    for i, (who, router, host) in enumerate((("owner", n1, laptop), ("worker", n2, rig)), 1):
        if where in (who, "both"):
            only6(lab, router, host, i)
    j = Journey(lab, fleet, rig)
    j.join(3)
    j.timed("the worker is there", 5, j.answers)
    j.command(1.5)
    j.doctor("the rig is well", lambda rc, out: rc == 0)
    j.serve(5)
    j.follow(2)
    j.deploy(5, 10)
    j.followed(2)
    lab.check("path", fleet.paths().get("rig"))
