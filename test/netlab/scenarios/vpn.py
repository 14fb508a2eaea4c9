"""A VPN comes and goes on the owner's machine: an interface with a smaller MTU that takes the default route, once with the LAN beside it
and once as all there is; a log is followed meanwhile. args: swarm binary
"""
from rig.journey import Journey
from rig.sh import sh
from rig.swarm import Fleet

# The most, in seconds, until a command works. What comes goes by the former way, and what is sent by the VPN gets lost: that
# the connection is dead is found out at the other end, where nothing comes.
ONE_WAY = 25


def main(lab, args):
    home, site, tunnel = lab.lan("home"), lab.lan("site"), lab.lan("tunnel", subnet="10.8.0")
    lab.nat("n1", home)
    lab.nat("n2", site)
    exit_ = lab.nat("exit", tunnel, kind="symmetric")
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", site), lab.host("vps")
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    j = Journey(lab, fleet, rig)
    j.join(2)
    j.timed("the worker is there", 5, j.answers)
    j.serve(5)
    j.follow(3)
    lab.until(lambda: fleet.paths().get("rig") == "direct", 10)
    lab.check("path", fleet.paths().get("rig"))

    def up(alone):
        laptop._link("tun0", tunnel, tunnel.next_ip())
        for node, dev in ((laptop, "tun0"), (exit_, "lan")):
            sh("ip", "-n", node.name, "link", "set", dev, "mtu", "1380")
        for half in ("0.0.0.0/1", "128.0.0.0/1"):
            sh("ip", "-n", laptop.name, "route", "add", half, "via", tunnel.gw)
        if alone:
            laptop.nft('table ip vpnonly {\n chain out { type filter hook output priority 0; oifname "eth0" drop; }\n'
                       ' chain in { type filter hook input priority 0; iifname "eth0" drop; }\n}')

    def down(alone):
        sh("ip", "-n", laptop.name, "link", "del", "tun0")
        if alone:
            laptop.nft("delete table ip vpnonly")

    for alone in (False, True):
        for what, change in (("comes", up), ("goes", down)):
            change(alone)
            name = f"the VPN {what}" + (", and nothing passes beside it" if alone else "")
            j.timed(f"{name}: a command", ONE_WAY if what == "comes" and not alone else 5, lambda: j.answers("3s"))
            j.timed(f"{name}: the log goes on", 8, j.log.grows())
            lab.sleep(3)
            j.command(1, name)
            lab.check("path", fleet.paths().get("rig"))
    j.followed(3)
