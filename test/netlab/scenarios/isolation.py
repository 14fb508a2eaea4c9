"""A LAN whose access point lets multicast and broadcast pass between machines, and nothing else; a relay outside.

args: swarm binary
"""
from rig.journey import Journey
from rig.swarm import Fleet

RULES = """table ip isolation {{
 chain in {{ type filter hook prerouting priority -290; ip saddr {net} ip saddr != {gw} ip daddr {net} ip daddr != {bcast} drop; }}
}}"""


def main(lab, args):
    home = lab.lan("home")
    n1 = lab.nat("n1", home)
    laptop, rig, vps = lab.host("laptop", home), lab.host("rig", home), lab.host("vps")
    for h in (laptop, rig):
        h.nft(RULES.format(net=home.cidr(), gw=home.gw, bcast=f"{home.base}.255"))
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    j = Journey(lab, fleet, rig)
    j.flags = ["--mdns"]
    j.join(2)
    j.timed("the worker is there", 5, j.answers)
    j.command(1.5)
    j.serve(5)
    lab.until(lambda: "rig" in j.server.logs(), 3)
    j.command(0.5)
    j.follow(2)
    j.deploy(10, 8)
    lab.sleep(8)
    j.command(0.5, "after 8 s")
    j.followed(2)
    lab.check("path", fleet.paths().get("rig"))
    cpu = [j.server.cpu_s(), j.worker.cpu_s()]
    lab.sleep(8)
    used = [round((b - a) / 8, 3) for a, b in zip(cpu, [j.server.cpu_s(), j.worker.cpu_s()])]
    lab.check("of a core, in use by serve and by the worker", used, max(used) <= 0.05)
    j.doctor("rig is well", lambda rc, out: rc == 0, 7)
