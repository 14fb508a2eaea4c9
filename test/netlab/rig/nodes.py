"""LANs, hosts and NAT routers: bridges, network namespaces and nftables rules."""
import json
import os
import subprocess

from rig.proc import Proc
from rig.sh import LabError, sh

PUB_PREFIX = 6  # 16.0.0.0/6 plays the internet: every host sits in its own /16, none is a reserved range


class Lan:
    def __init__(self, lab, name, public=False, subnet=None, v6=False):
        self.lab, self.name, self.public, self.v6 = lab, name, public, v6
        self.idx, self.n, self.hosts, self.gw = len(lab.lans), 0, [], None
        self.base = subnet or f"192.168.{self.idx}"
        self.br = f"br{self.idx}"
        sh("ip", "link", "add", self.br, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        sh("ip", "link", "set", self.br, "up")
        lab.event("lan", name=name, public=public, net=self.cidr())

    def cidr(self):
        return f"16.0.0.0/{PUB_PREFIX}" if self.public else f"{self.base}.0/24"

    def plen(self):
        return PUB_PREFIX if self.public else 24

    def next_ip(self):
        self.n += 1
        if self.public:
            return f"{16 + self.n // 250}.{self.n % 250 + 1}.0.10"
        return f"{self.base}.{10 + self.n}"

    def host(self, name):
        return self.lab.host(name, self)

    def introduce(self):
        """tell all who are here now where the others are, for good: what they learn by themselves the kernel keeps in one table of
        1,024 for all namespaces, and 50 machines that look for one another fill it; then some reach nobody"""
        links = [(node.name, name, link["ip"]) for node in [*self.lab.hosts.values(), *self.lab.nats.values()]
                 for name, link in node.links.items() if link["lan"] is self]
        macs = {node: json.loads(sh("ip", "-n", node, "-j", "link", "show", name))[0]["address"] for node, name, _ in links}
        for node, name, _ in links:
            sh("ip", "-n", node, "-batch", "-", inp="".join(
                f"neigh replace {ip} lladdr {macs[other]} dev {name} nud permanent\n" for other, _, ip in links if other != node))


class Node:
    """what hosts and NAT routers share: a namespace and links into LANs"""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        sh("ip", "netns", "add", name)
        sh("ip", "-n", name, "link", "set", "lo", "up")
        sh("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0",
           "net.ipv4.conf.default.rp_filter=0", "net.ipv4.conf.all.promote_secondaries=1",
           "net.ipv4.conf.default.promote_secondaries=1", "net.ipv4.icmp_ratelimit=0", ns=name, check=False)
        self.links, self.procs, self.env = {}, [], {}  # env: what the programs here have in their environment
        self.dir = os.path.join(lab.out, "hosts", name)
        os.makedirs(self.dir, exist_ok=True)

    def _link(self, ifname, lan, ip):
        self.lab.nlink += 1
        peer = f"p{self.lab.nlink}"
        sh("ip", "link", "add", peer, "type", "veth", "peer", "name", ifname, "netns", self.name)
        sh("ip", "link", "set", peer, "master", lan.br, "up")
        sh("ip", "-n", self.name, "addr", "add", f"{ip}/{lan.plen()}", "dev", ifname)
        if lan.v6:
            sh("ip", "-n", self.name, "addr", "add", f"fd42:{lan.idx}::{lan.n + 0x10:x}/64", "dev", ifname, "nodad")
        sh("ip", "-n", self.name, "link", "set", ifname, "up")
        self.links[ifname] = dict(lan=lan, peer=peer, ip=ip, wire=None)

    def nft(self, text):
        sh("nft", "-f", "-", ns=self.name, inp=text)

    def spawn(self, argv, name=None, env=None, cwd=None, rlimits=None):
        """start a program here; it is killed with the lab"""
        p = Proc(self, name or f"{os.path.basename(argv[0])}{len(self.procs)}", argv, {**self.env, **(env or {})}, cwd, rlimits)
        self.procs.append(p)
        return p

    def _netem(self, ifname, dir="both", **p):
        """delay, jitter, queue in ms; loss, dup, reorder as fractions; rate in bit/s; burst: mean loss burst"""
        l, lab = self.links[ifname], self.lab
        lab.event("netem", node=self.name, dir=dir, **p)
        if lab.kernel_netem:
            k = l.setdefault("kp", {"up": {}, "down": {}})
            for d, ns, dev in (("up", self.name, ifname), ("down", None, l["peer"])):
                if dir not in ("both", d):
                    continue
                k[d].update(p)
                q = k[d]
                a = ["tc", "qdisc", "replace", "dev", dev, "root", "netem", "limit", "4000"]
                if q.get("delay") or q.get("jitter"):
                    a += ["delay", f"{q.get('delay', 0)}ms"] + ([f"{q['jitter']}ms"] if q.get("jitter") else [])
                if q.get("loss"):
                    if q.get("burst", 1) > 1 and q["loss"] < 1:
                        r = 1 / q["burst"]
                        a += ["loss", "gemodel", f"{100 * r * q['loss'] / (1 - q['loss']):.4f}%", f"{100 * r:.4f}%"]
                    else:
                        a += ["loss", f"{100 * q['loss']:.4f}%"]
                if q.get("dup"):
                    a += ["duplicate", f"{100 * q['dup']:.4f}%"]
                if q.get("reorder"):
                    a += ["reorder", f"{100 * q['reorder']:.4f}%"]
                if q.get("rate"):
                    a += ["rate", f"{int(q['rate'])}bit"]
                sh(*a, ns=ns)
            return
        if not l["wire"]:
            lab.nlink += 1
            q, qb = f"q{lab.nlink}", f"b{lab.nlink}"
            sh("ip", "link", "add", q, "type", "veth", "peer", "name", qb)
            for ns, d in ((self.name, ifname), (None, qb)):
                sh("ethtool", "-K", d, "tx", "off", "tso", "off", "gso", "off", "gro", "off", ns=ns, check=False)
            for d in (q, l["peer"]):
                sh("sysctl", "-qw", f"net.ipv6.conf.{d}.disable_ipv6=1", check=False)
            sh("ip", "link", "set", l["peer"], "nomaster")
            sh("ip", "link", "set", q, "up")
            sh("ip", "link", "set", qb, "master", l["lan"].br, "up")
            l["wire"] = f"{self.name}.{ifname}"
            lab.wire(op="add", name=l["wire"], a=l["peer"], b=q, seed=lab.seed + lab.nlink)
        conv = {k: (v / 1000 if k in ("delay", "jitter", "queue") else v) for k, v in p.items()}
        lab.wire(op="set", name=l["wire"], dir=dir, p=conv)

    def _netem_stats(self, ifname):
        l = self.links[ifname]
        return self.lab.wire(op="stat", name=l["wire"]) if l["wire"] else None


class Host(Node):
    def __init__(self, lab, name, lan):
        super().__init__(lab, name)
        self.lan = lan
        self._link("eth0", lan, lan.next_ip())
        lan.hosts.append(self)
        self._route()
        self.nft("table ip lab { set blk { type ipv4_addr; }\n chain in { type filter hook prerouting priority -300;"
                 " ip saddr @blk drop;\n }\n}")
        lab.event("host", name=name, lan=lan.name, ip=self.ip)

    @property
    def ip(self):
        return self.links["eth0"]["ip"]

    def _route(self):
        if self.lan.gw:
            sh("ip", "-n", self.name, "route", "replace", "default", "via", self.lan.gw)
        elif not self.lan.public:
            sh("ip", "-n", self.name, "route", "replace", "default", "dev", "eth0")

    def call(self, *argv, timeout=60):
        """run to the end in this host, whatever comes of it; returns subprocess.CompletedProcess"""
        r = subprocess.run(("nsenter", f"--net=/run/netns/{self.name}", "--") + argv, text=True, capture_output=True,
                           timeout=timeout, cwd=self.dir, env=dict(os.environ, HOME=self.dir, TMPDIR=self.dir, **self.env))
        self.lab.event("call", host=self.name, argv=argv, rc=r.returncode, out=r.stdout, err=r.stderr)
        return r

    def run(self, *argv, timeout=60, check=True):
        """run to the end in this host, return stdout"""
        r = self.call(*argv, timeout=timeout)
        if check and r.returncode:
            raise LabError(f"{self.name}: {argv}: rc={r.returncode} {r.stderr}")
        return r.stdout

    def logs(self):
        return "\n".join(p.logs() for p in self.procs)

    def crash(self):
        """kill -9 everything in the host (what was written, even if not synced, survives)"""
        for p in self.procs:
            if p.alive():
                p.kill9()

    def netem(self, dir="both", **p):
        self._netem("eth0", dir, **p)

    def netem_stats(self):
        return self._netem_stats("eth0")

    def unplug(self):
        self.lab.event("unplug", host=self.name)
        sh("ip", "link", "set", self.links["eth0"]["peer"], "down")

    def plug(self):
        self.lab.event("plug", host=self.name)
        sh("ip", "link", "set", self.links["eth0"]["peer"], "up")

    def set_ip(self, ip=None):
        """new address (DHCP gave another one); returns it"""
        old, new = self.ip, ip or self.lan.next_ip()
        sh("ip", "-n", self.name, "addr", "add", f"{new}/{self.lan.plen()}", "dev", "eth0")
        sh("ip", "-n", self.name, "addr", "del", f"{old}/{self.lan.plen()}", "dev", "eth0")
        self.links["eth0"]["ip"] = new
        self._route()
        self.lab.event("set_ip", host=self.name, old=old, new=new)
        self.lab._apply()
        return new

    def move(self, lan):
        """carry the host to another LAN (a laptop changes networks)"""
        old = self.lan
        old.hosts.remove(self)
        if self.links["eth0"]["wire"]:
            raise LabError("move() before netem() only")
        sh("ip", "-n", self.name, "addr", "flush", "dev", "eth0", "scope", "global")
        sh("ip", "link", "set", self.links["eth0"]["peer"], "master", lan.br)
        self.lan = self.links["eth0"]["lan"] = lan
        ip = self.links["eth0"]["ip"] = lan.next_ip()
        lan.hosts.append(self)
        sh("ip", "-n", self.name, "addr", "add", f"{ip}/{lan.plen()}", "dev", "eth0")
        self._route()
        self.lab.event("move", host=self.name, src=old.name, dst=lan.name, ip=ip)
        self.lab._apply()


class Nat(Node):
    """router between a LAN and another one. kind: cone (endpoint-independent mapping, address and port
    dependent filtering), fullcone (no filtering), symmetric (a random port for every destination),
    routed (no translation, no filter)"""

    def __init__(self, lab, name, inside, outside, kind="cone", udp=True, udp_timeout=None):
        super().__init__(lab, name)
        self.inside, self.outside, self.kind, self.udp, self.is_cut = inside, outside, kind, udp, False
        self._link("wan", outside, outside.next_ip())
        self._link("lan", inside, f"{inside.base}.1")
        sh("sysctl", "-qw", "net.ipv4.ip_forward=1", ns=name)
        if outside.gw:
            sh("ip", "-n", name, "route", "replace", "default", "via", outside.gw)
        inside.gw, inside.nat = f"{inside.base}.1", self
        for h in inside.hosts:
            h._route()
        self._rules()
        if udp_timeout:
            for k in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
                sh("sysctl", "-qw", f"net.netfilter.{k}={udp_timeout}", ns=name)
        lab.event("nat", name=name, kind=kind, inside=inside.name, outside=outside.name, wan=self.wan_ip)

    @property
    def wan_ip(self):
        return self.links["wan"]["ip"]

    def _rules(self):
        post = {"cone": "masquerade", "fullcone": "masquerade", "symmetric": "masquerade random,fully-random",
                "routed": "accept"}[self.kind]
        pre = maps = learn = ""
        if self.kind == "fullcone":
            maps = ("map mu { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 300s; }\n"
                    "map mt { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 300s; }\n")
            learn = ('oifname "wan" udp sport > 0 update @mu { udp sport : ip saddr }\n'
                     'oifname "wan" tcp sport > 0 update @mt { tcp sport : ip saddr }\n')
            pre = ('iifname "wan" meta l4proto udp dnat to udp dport map @mu\n'
                   'iifname "wan" meta l4proto tcp dnat to tcp dport map @mt\n')
        drop = "" if self.kind == "routed" else 'iifname "wan" drop;'
        noudp = "" if self.udp else "meta l4proto udp drop;"
        self.nft(f"""table ip lab {{
 set pairs {{ type ipv4_addr . ipv4_addr; }}
 set cut {{ type ifname; }}
 chain cutc {{ type filter hook forward priority -10; iifname @cut drop; oifname @cut drop; ip saddr . ip daddr @pairs drop; {noudp} }}
 chain cfwd {{ type filter hook forward priority 0; ct state established,related accept; ct status dnat accept; iifname "lan" accept; {drop} }}
 chain cinp {{ type filter hook input priority 0; ct state established,related accept; {drop} }}
}}
table ip nat {{
 {maps}
 chain cpre {{ type nat hook prerouting priority -100; {pre} }}
 chain cpost {{ type nat hook postrouting priority 100; {learn} oifname "wan" {post}; }}
}}""")

    def forwards(self, protocol):
        """the router forwards ports for those in its LAN who ask by this protocol, upnp or natpmp; miniupnpd does it"""
        self.nft("""table inet forwards {
 chain forward { type filter hook forward priority 0; jump asked; }
 chain asked { }
 chain prerouting { type nat hook prerouting priority -100; jump asked_pre; }
 chain asked_pre { }
 chain postrouting { type nat hook postrouting priority 100; jump asked_post; }
 chain asked_post { }
}""")
        conf = os.path.join(self.dir, "miniupnpd.conf")
        with open(conf, "w") as f:
            f.write(f"""ext_ifname=wan
listening_ip=lan
enable_upnp={"yes" if protocol == "upnp" else "no"}
enable_natpmp={"yes" if protocol == "natpmp" else "no"}
secure_mode=yes
uuid=6a1b4c2e-9d2f-4a57-8f5e-0c7a3f1d2b10
upnp_table_name=forwards
upnp_nat_table_name=forwards
upnp_forward_chain=asked
upnp_nat_chain=asked_pre
upnp_nat_postrouting_chain=asked_post
allow 1024-65535 {self.inside.base}.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
""")
        self.lab.event("forwards", nat=self.name, protocol=protocol)
        return self.spawn(["miniupnpd", "-d", "-f", conf, "-P", os.path.join(self.dir, "pid")], name="miniupnpd")

    def cut(self):
        """the uplink goes dark, silently"""
        self.lab.event("cut", nat=self.name)
        self.nft('add element ip lab cut { "wan" }')

    def mend(self):
        self.lab.event("mend", nat=self.name)
        self.nft("flush set ip lab cut")

    def reboot(self):
        """the router forgets every mapping"""
        self.lab.event("nat_reboot", nat=self.name)
        sh("conntrack", "-F", ns=self.name)

    def set_wan_ip(self, ip=None):
        old, new = self.wan_ip, ip or self.outside.next_ip()
        pl = self.outside.plen()
        sh("ip", "-n", self.name, "addr", "add", f"{new}/{pl}", "dev", "wan")
        sh("ip", "-n", self.name, "addr", "del", f"{old}/{pl}", "dev", "wan")
        self.links["wan"]["ip"] = new
        if self.outside.gw:
            sh("ip", "-n", self.name, "route", "replace", "default", "via", self.outside.gw)
        sh("conntrack", "-F", ns=self.name)
        self.lab.event("set_wan_ip", nat=self.name, old=old, new=new)
        self.lab._apply()
        return new

    def netem(self, dir="both", **p):
        """on the uplink; 'up' is towards the outside"""
        self._netem("wan", dir, **p)

    def netem_stats(self):
        return self._netem_stats("wan")
