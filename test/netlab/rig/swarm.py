"""The program under test: starts workers and runs controllers in hosts of a lab."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT = os.path.join(HERE, "..", "..", "..", "bin", "swarm")


class Swarm:
    """One swarm binary. A controller's state directory is a name: its identity and its address book."""

    def __init__(self, args):
        self.bin = os.path.abspath(args[0] if args else DEFAULT)

    def id(self, host, state):
        return host.run(self.bin, "id", "--state", os.path.join(host.dir, state)).strip()

    def worker(self, host, *flags, name="worker"):
        """start a worker and wait until it is ready; p.peer and p.addr say who and where it is"""
        p = host.spawn([self.bin, "worker", "--json", "--name", host.name, "--state", os.path.join(host.dir, name),
                        *flags], name=name)
        _, ready = p.wait_json(event="ready", timeout=20)
        p.peer = ready["peer"]
        p.addr = next(a for a in ready["addrs"] if f"/ip4/{host.ip}/tcp/" in a)
        return p

    def exec(self, host, *argv, state="controller", timeout=60):
        """run `swarm controller exec`; returns the exit code and what it printed: {name: line}"""
        r = host.call(self.bin, "controller", "exec", "--json", "--state", os.path.join(host.dir, state), *argv,
                      timeout=timeout)
        lines = [json.loads(line) for line in r.stdout.splitlines()]
        return r.returncode, {line.get("name") or line["peer"]: line for line in lines}
