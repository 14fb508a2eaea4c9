"""A site of N workers behind one NAT, and one public worker as everybody's bootstrap address.

The router's address is all that the public worker sees of the site, so this fails where connections are
limited per address. Then the site's uplink is cut for longer than connections live, and mended.

args: [path of the swarm binary [N]]
"""
from rig.swarm import Swarm


def main(lab, args):
    swarm, n = Swarm(args), int(args[1]) if len(args) > 1 else 20
    site = lab.lan("site")
    router = lab.nat("router", site)
    hub_host, ctl, public = lab.host("hub"), lab.host("ctl", site), lab.host("public")
    allow = "--allow=" + ",".join((swarm.id(ctl, "controller"), swarm.id(public, "controller")))
    hub = swarm.worker(hub_host, allow, "--mdns=false", "--listen", "/ip4/0.0.0.0/tcp/4747")  # TCP: its connections can be counted

    def from_site():
        """connections that the hub has with the site"""
        out = hub_host.run("ss", "-Htn", "state", "established", "sport", "=", ":4747", "dst", router.wan_ip)
        return len(out.splitlines())

    hosts = [lab.host(f"w{i:02d}", site) for i in range(n)]
    workers = [swarm.worker(h, allow, "--mdns=false", "--bootstrap", hub.addr) for h in hosts]
    lab.eventually(f"{n} workers behind one address are connected", lambda: from_site() == n, 30)

    names = {h.name for h in hosts}

    def sees_all():
        rc, got = swarm.exec(ctl, "get_stats", "--all", "--bootstrap", hub.addr, "--mdns=false", "--timeout=10s")
        return rc == 0 and set(got) == names | {"hub"} and all(line["ok"] for line in got.values())

    lab.eventually(f"a controller in the site sees {n} workers and the hub", sees_all, 60)
    rc, got = swarm.exec(public, "get_stats", hub.addr, "--mdns=false")
    lab.check("a controller outside reaches the hub", rc, rc == 0 and got["hub"]["ok"])

    router.cut()
    lab.eventually("uplink cut: the hub notices", lambda: from_site() == 0, 120)
    rc, got = swarm.exec(ctl, "get_stats", "--all", "--wait=0s", "--mdns=false", "--timeout=5s")
    lab.check("meanwhile the site works on, only the hub is offline, exit 3", (rc, sum(g["ok"] for g in got.values())),
              rc == 3 and not got["hub"]["ok"] and all(got[name]["ok"] for name in names))
    router.mend()
    lab.eventually("mended: all are connected again", lambda: from_site() == n, 120)
    lab.eventually("and all answer", sees_all, 60)
    lab.check("memory of a worker, hub (RSS, kB)", (workers[0].rss_kb(), hub.rss_kb()))
