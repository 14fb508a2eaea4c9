"""N idle workers behind one uplink, from their start on: what each of them sends and receives to stay connected.

Nobody watches, and a controller that serves is connected with all of them through a NAT, besides a relay in the open.

args: swarm binary [, N [, seconds]]
"""
import json

from rig.sh import sh
from rig.swarm import Fleet


def main(lab, args):
    n, seconds = int((args[1:2] or ["20"])[0]), int((args[2:3] or ["60"])[0])
    home, site = lab.lan("home"), lab.lan("site")
    lab.nat("n1", home)
    router = lab.nat("n2", site)
    laptop, vps = lab.host("laptop", home), lab.host("vps")
    hosts = [lab.host(f"w{i}", site) for i in range(n)]
    site.introduce()
    fleet = Fleet(args, laptop)
    fleet.relay(vps, "--mdns=false")
    for h in hosts:
        fleet.join(h, h.name, "--via", "vps")
    fleet.serve("--mdns=false")

    def passed():
        """bytes and packets that the router has sent, and received"""
        link = json.loads(sh("ip", "-n", router.name, "-s", "-j", "link", "show", "wan"))[0]["stats64"]
        return [link[way][what] for way in ("tx", "rx") for what in ("bytes", "packets")]

    began, before = lab.now(), passed()
    for h in hosts:
        fleet.worker(h, "--mdns=false")
    spans = [10, 30] if seconds <= 60 else [10, 30, 60, 120]
    for end in [*spans, seconds]:
        lab.sleep(began + end - lab.now())
        at, now = lab.now(), passed()
        up, packets, down, _ = (x - y for x, y in zip(now, before))
        took = end - ([0, *spans][[*spans, seconds].index(end)])
        kbit = round(up * 8 / took / n / 1000, 2)
        figures = f"{kbit} up, {down * 8 / took / n / 1000:.2f} down, {packets / took / n:.1f} packets/s"
        lab.check(f"each worker, until {end} s", figures, end <= 10 or kbit <= (1 if end > 30 else 3), "kbit/s")
        before = now
    lab.check("connected", sum(1 for p in fleet.paths().values() if p), True, f"of {n}")
