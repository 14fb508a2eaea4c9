"""What goes on over several connections: a followed log, and deployments that are cut."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = "3333"


def talks(host, rate=20):
    """start what makes a workload of this host talk; returns the flags that start the workload"""
    host.spawn([sys.executable, os.path.join(HERE, "pool.py"), PORT, str(rate)], name="pool").wait_line("ready")
    return ["--name", "m", "--miner", "refpow", "--threads", "1", "--pool", f"stratum+tcp://127.0.0.1:{PORT}"]


class Follow:
    """get_logs --follow of the workload m of a machine, from its first line on"""

    def __init__(self, fleet, name):
        laptop = fleet.laptop
        self.p = laptop.spawn([fleet.bin, "controller", "exec", "get_logs", name, "--name", "m", "--offset", "0", "--follow",
                               "--json", "--mdns=false", *fleet.state(laptop, "controller")], name="follow")

    def items(self):
        return [o["payload"] for _, o in self.p.json(type="logs")]

    def lines(self):
        return [line for item in self.items() for line in item["lines"]]

    def events(self, kind):
        return [o for _, o in self.p.json(event=kind)]

    def grows(self, more=3):
        """a check: that many further lines have come"""
        n = len(self.lines())
        return lambda: len(self.lines()) >= n + more

    def faults(self):
        """lines lost, and lines that came twice: each begins where the one before it ends"""
        at, lost, twice = 0, 0, 0
        for line in self.lines():
            lost += line["offset"] > at
            twice += line["offset"] < at
            # In the file a line begins with its time, 13 digits, and its stream.
            at = line["offset"] + 13 + len(" o ") + len(line["text"].encode()) + 1
        return lost, twice


class Deploy:
    """a deployment of so many MB that no machine has yet"""

    def __init__(self, fleet, name, mb, *flags):
        laptop = fleet.laptop
        path = os.path.join(laptop.dir, "bundle")
        with open(path, "wb") as f:
            f.write(os.urandom(mb << 20))
        self.began = laptop.lab.now()
        self.p = laptop.spawn([fleet.bin, "controller", "exec", "deploy", name, path, "--json", "--mdns=false", *flags,
                               *fleet.state(laptop, "controller")], name="deploy")

    def end(self, timeout=100):
        """(exit code, bytes sent again, what became of it, cuts)"""
        rc = self.p.wait_exit(timeout)
        self.p.th.join(5)
        last = json.loads(self.p.logs().splitlines()[-1])
        again = sum(o.get("resent", 0) for _, o in self.p.json(event="back"))
        words = last.get("payload", {}).get("state") or last.get("error", {}).get("message")
        return rc, again, words, len(self.p.json(event="cut"))
