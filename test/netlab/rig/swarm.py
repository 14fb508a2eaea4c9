"""The program under test: starts workers, relays and controllers in hosts of a lab, and runs commands."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT = os.path.join(HERE, "..", "..", "..", "bin", "swarm")


class Swarm:
    """One swarm binary. A controller's state directory is a name: its identity and its address book."""

    def __init__(self, args):
        self.bin = os.path.abspath(args[0] if args else DEFAULT)

    def state(self, host, name):
        return ["--state", os.path.join(host.dir, name)]

    def id(self, host, state):
        return host.run(self.bin, "id", *self.state(host, state)).strip()

    def node(self, host, kind, *flags, state=None):
        """start a node and wait until it is ready; p.peer and p.addr say who and where it is"""
        name = state or kind[-1]
        p = host.spawn([self.bin, *kind, "--json", *self.state(host, name), *flags], name=name)
        _, ready = p.wait_json(event="ready", timeout=20)
        p.peer = ready["peer"]
        p.addr = next((a for a in ready["addrs"] if f"/ip4/{host.ip}/tcp/" in a), None)
        return p

    def worker(self, host, *flags, name="worker"):
        return self.node(host, ["worker"], "--name", host.name, *flags, state=name)

    def exec(self, host, *argv, state="controller", timeout=60):
        """run `swarm controller exec`; returns the exit code and what it printed: {name: line}"""
        r = host.call(self.bin, "controller", "exec", "--json", *self.state(host, state), *argv, timeout=timeout)
        lines = [json.loads(line) for line in r.stdout.splitlines()]
        return r.returncode, {line.get("name") or line.get("peer", ""): line for line in lines}


class Fleet(Swarm):
    """A fleet whose owner sits at one host."""

    def __init__(self, args, laptop):
        super().__init__(args)
        self.laptop = laptop
        self.id = json.loads(self.run("init", "--no-passphrase", "--json").splitlines()[0])["fleet"]

    def run(self, *argv, state="controller", timeout=60):
        """a command of the owner; returns what it printed"""
        return self.laptop.run(self.bin, *argv, *self.state(self.laptop, state), timeout=timeout)

    def call_in(self, host, name, *flags, role="worker", listen=None, at=None):
        """let a machine in that waits to be called: the way to one that cannot reach the owner"""
        listen = ["--listen", listen] if listen else []
        j = host.spawn([self.bin, "join", "--wait", "--yes", "--json", "--fleet", self.id, "--role", role, *listen,
                        *self.state(host, role)], name=f"join-{name}")
        _, waits = j.wait_json(event="waiting", timeout=20)
        addr = next(a for a in waits["addrs"] if f"/ip4/{host.ip}/" in a)
        if at:  # its router forwards the port
            addr = addr.replace(host.ip, at)
        self.run("invite", name, "--role", role, "--to", addr, "--mdns=false", *flags)
        j.wait_json(event="joined", timeout=20)
        j.wait_exit(10)

    def relay(self, host, *flags, issues=True, **how):
        """let a relay in, start it, and let it invite workers for the owner"""
        self.call_in(host, host.name, role="relay", **how)
        node = self.node(host, ["relay"], *flags)
        if issues:
            self.run("grant", host.name, "--issue", "worker", "--mdns=false")
        return node

    def join(self, host, name, *invite, role="worker", enable="deploy"):
        """let a machine in by a ticket that another redeems, or the controller that serves here"""
        out = self.run("invite", name, "--role", role, "--json", "--mdns=false", *invite)
        ticket = next(json.loads(line)["ticket"] for line in out.splitlines() if '"ticket"' in line)
        flags = ["--enable", enable] if enable and role == "worker" else []
        host.run(self.bin, "join", ticket, "--yes", *flags, *self.state(host, role))
        return ticket

    def serve(self, *flags):
        return self.node(self.laptop, ["controller", "serve"], *flags, state="controller")

    def ask(self, *argv, timeout=60):
        """exec by the owner: the exit code and {name: line}"""
        return self.exec(self.laptop, *argv, "--mdns=false", timeout=timeout)

    def bundle(self, size):
        """a folder to deploy, of so many bytes that no machine has yet: its path on the laptop"""
        path = os.path.join(self.laptop.dir, "bundle")
        os.mkdir(path)
        with open(os.path.join(path, "data"), "wb") as f:
            f.write(os.urandom(size))
        return path

    def answers(self, *names):
        rc, got = self.ask("get_stats", *names, "--timeout=5s")
        return rc == 0

    def paths(self):
        """by which path each machine is reached: {name: LAN, direct or relay}"""
        out = self.run("peers", "--json")
        return {p["name"]: p.get("path", "") for p in map(json.loads, out.splitlines())}
