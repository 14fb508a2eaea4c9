"""The lab: its topology, its faults, its clock and its record."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from rig.nodes import Host, Lan, Nat
from rig.sh import LabError, sh

HERE = os.path.dirname(os.path.abspath(__file__))


class NameServer:
    """the name server of a lab, see nameserver.py"""

    def __init__(self, lab, host, ip):
        self.lab, self.zone, conf = lab, os.path.join(host.dir, "zone"), os.path.join(host.dir, "resolv.conf")
        with open(conf, "w") as f:
            f.write(f"nameserver {ip}\n")
        sh("mount", "--bind", conf, "/etc/resolv.conf")  # of the lab's own mount namespace
        p = host.spawn([sys.executable, "-u", os.path.join(HERE, "nameserver.py"), ip, self.zone], name="nameserver")
        p.wait_line("ready")

    def say(self, **names):
        """answer with these, written with _ for dots, and with nothing else"""
        with open(self.zone + "~", "w") as f:
            f.writelines(f"{name.replace('_', '.')} {ip}\n" for name, ip in names.items())
        os.replace(self.zone + "~", self.zone)
        self.lab.event("names", **names)

    def silent(self):
        if os.path.exists(self.zone):
            os.remove(self.zone)
        self.lab.event("names silent")


class Lab:
    def __init__(self, out, seed=1):
        self.out, self.seed, self.t0 = out, seed, time.monotonic()
        self.lans, self.hosts, self.nats, self.parts, self.results = [], {}, {}, [], []
        self.nlink, self._wire, self.lock = 0, None, threading.Lock()
        self.ev = open(os.path.join(out, "events.jsonl"), "a", buffering=1)
        sh("ip", "link", "set", "lo", "up")
        self.kernel_netem = os.environ.get("NETLAB_WIRE") != "user" and \
            subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms"],
                           capture_output=True).returncode == 0
        self.event("start", wall=time.time(), seed=seed, netem="kernel" if self.kernel_netem else "user")
        self.inet = Lan(self, "inet", public=True)
        self.lans.append(self.inet)

    # ---- clock and record
    def now(self):
        return time.monotonic() - self.t0

    def event(self, ev, **kv):
        with self.lock:
            self.ev.write(json.dumps({**kv, "t": round(self.now(), 4), "ev": ev}, default=str) + "\n")

    def sleep(self, s):
        time.sleep(s)

    def say(self, *a):
        print(f"{self.now():8.3f}", *a, flush=True)

    def check(self, name, value, ok=None, unit=""):
        """note a figure; ok False makes the run fail; ok None only reports"""
        self.results.append(dict(name=name, value=value, ok=ok, unit=unit))
        self.event("check", name=name, value=value, ok=ok, unit=unit)
        self.say({True: "PASS", False: "FAIL", None: "    "}[ok], name, "=", value, unit)
        return ok

    def until(self, fn, timeout=10, step=0.05):
        """wait until fn() is true; returns the seconds it took, or None"""
        t = time.monotonic()
        while time.monotonic() - t < timeout:
            if fn():
                return time.monotonic() - t
            time.sleep(step)
        return None

    def eventually(self, name, fn, timeout=20):
        """check that fn() becomes true within timeout seconds; the figure is how long it took"""
        took = self.until(fn, timeout)
        return self.check(name, took and round(took, 2), took is not None, "s")

    # ---- topology
    def lan(self, name, **kw):
        l = Lan(self, name, **kw)
        self.lans.append(l)
        return l

    def host(self, name, lan=None):
        if len(name) > 12:
            raise LabError("host name longer than 12")
        h = self.hosts[name] = Host(self, name, lan or self.inet)
        return h

    def nat(self, name, inside, outside=None, kind="cone", **kw):
        n = self.nats[name] = Nat(self, name, inside, outside or self.inet, kind, **kw)
        return n

    def names(self, host, ip=None):
        """make a host the name server of all; .say(name=ip) has it answer, .silent() not. It begins silent.
        Routers that have one address may each be the name server of those behind them."""
        return NameServer(self, host, ip or host.ip)

    # ---- partitions
    def _members(self, x):
        if isinstance(x, Host):
            return [x]
        if isinstance(x, Lan):
            return list(x.hosts)
        return [h for y in x for h in self._members(y)]

    def partition(self, a, b):
        """a, b: a host, a LAN or a list. No packet passes between any of a and any of b, in silence.
        Behind two NATs the other side is known by its router's address only, so its whole LAN is cut."""
        for x in self._members(a):
            for y in self._members(b):
                self.parts.append((x, y))
        self.event("partition", a=[h.name for h in self._members(a)], b=[h.name for h in self._members(b)])
        self._apply()

    def heal(self, a=None, b=None):
        if a is None:
            self.parts = []
        else:
            A, B = set(self._members(a)), set(self._members(b))
            self.parts = [(x, y) for x, y in self.parts if not ((x in A and y in B) or (x in B and y in A))]
        self.event("heal", left=len(self.parts))
        self._apply()

    def _seen_as(self, h):
        """address of h as the internet sees it, and the router that translates it"""
        lan, ip, r = h.lan, h.ip, None
        while not lan.public and getattr(lan, "nat", None):
            n = lan.nat
            if n.kind != "routed":
                ip, r = n.wan_ip, n
            lan = n.outside
        return ip

    def _apply(self):
        blk = {h: set() for h in self.hosts.values()}
        pairs = {n: set() for n in self.nats.values()}
        for x, y in self.parts:
            if x.lan is y.lan:
                blk[x].add(y.ip)
                blk[y].add(x.ip)
                continue
            for p, q in ((x, y), (y, x)):
                n = getattr(p.lan, "nat", None)
                if n:
                    o = self._seen_as(q)
                    pairs[n] |= {(p.ip, o), (o, p.ip)}
        for h, s in blk.items():
            h.nft("flush set ip lab blk\n" + (f"add element ip lab blk {{ {', '.join(sorted(s))} }}\n" if s else ""))
        for n, s in pairs.items():
            n.nft("flush set ip lab pairs\n" + (
                "add element ip lab pairs { %s }\n" % ", ".join(f"{a} . {b}" for a, b in sorted(s)) if s else ""))

    # ---- user-space netem
    def wire(self, **m):
        if not self._wire:
            path = os.path.join("/run", "wire.sock")
            self._wproc = subprocess.Popen([sys.executable, os.path.join(HERE, "wire.py"), path])
            s = self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind("/run/wire.cli")
            s.settimeout(5)
            self.until(lambda: os.path.exists(path), 5, 0.01)
            s.connect(path)
        with self.lock:
            self._wire.send(json.dumps(m).encode())
            r = json.loads(self._wire.recv(65536))
        if not r.pop("ok"):
            raise LabError(f"wire {m}: {r}")
        return r

    def close(self):
        for h in self.hosts.values():
            for p in h.procs:
                if p.alive():
                    p.signal(signal.SIGKILL)
        for h in self.hosts.values():
            for p in h.procs:
                p.th.join(2)
        self.event("end")
        with open(os.path.join(self.out, "results.json"), "w") as f:
            json.dump(self.results, f, indent=1)
        return not any(r["ok"] is False for r in self.results)
