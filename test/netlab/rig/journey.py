"""What a person does with a machine, step by step, each with a figure and a bound."""
from rig.resume import Deploy, Follow, talks


class Journey:
    """join, commands, serve, a log that is followed and a deployment, of the owner and the machine rig"""

    def __init__(self, lab, fleet, rig, *flags):
        self.lab, self.fleet, self.rig, self.flags = lab, fleet, rig, ["--mdns=false", *flags]
        self.log = self.worker = self.server = None

    def timed(self, what, most, do, wait=30):
        """a check: do() becomes true, and within so many seconds"""
        took = self.lab.until(do, max(wait, 2 * most))
        return self.lab.check(f"{what}, within {most} s", took and round(took, 2), took is not None and took <= most, "s")

    def once(self, what, most, do):
        """a check: do() is true at once, and has taken at most so many seconds"""
        start = self.lab.now()
        ok = do()
        took = round(self.lab.now() - start, 2)
        return self.lab.check(f"{what}, within {most} s", took if ok else f"failed after {took}", ok and took <= most, "s")

    def join(self, most, via="vps"):
        self.once("join", most, lambda: self.fleet.join(self.rig, "rig", "--via", via, enable="deploy,miner=refpow"))
        self.worker = self.fleet.worker(self.rig, *self.flags)

    def answers(self, most="15s"):
        return self.fleet.ask("get_stats", "rig", f"--timeout={most}")[0] == 0

    def command(self, most, what="a command", times=3):
        """the slowest of some commands"""
        took, failed = [], 0
        for _ in range(times):
            start = self.lab.now()
            failed += not self.answers()
            took.append(round(self.lab.now() - start, 2))
        self.lab.check(f"{what}, {times} times, the slowest within {most} s", (took, failed), not failed and max(took) <= most, "s")

    def serve(self, most):
        self.server = self.fleet.serve(*self.flags)
        return self.timed("serve has the worker", most, lambda: self.fleet.paths().get("rig"))

    def follow(self, most):
        """start a workload that talks, and follow its log"""
        flags = talks(self.rig)
        self.once("a workload is started", most, lambda: self.fleet.ask("start_miner", "rig", *flags)[0] == 0)
        self.log = Follow(self.fleet, "rig")
        return self.timed("its log is followed", most, self.log.lines)

    def followed(self, most):
        """a check: the log still grows, and nothing is lost or came twice"""
        self.timed("the log goes on", most, self.log.grows())
        lost, twice = self.log.faults()
        self.lab.check("lines of the log lost, twice", (lost, twice, len(self.log.lines())), (lost, twice) == (0, 0))

    def deploy(self, mb, most, timeout=100):
        """a deployment that ends well within so many seconds"""
        d = Deploy(self.fleet, "rig", mb, f"--timeout={timeout}s")
        rc, again, words, cuts = d.end(timeout + 10)
        took = round(self.lab.now() - d.began, 1)
        self.lab.check(f"deploy of {mb} MB, within {most} s", (took, rc, words, f"{cuts} cuts, {again} bytes again"),
                       rc == 0 and took <= most, "s")

    def doctor(self, what, good, most=6, *argv):
        """a check of doctor's findings, {code: text}, and of its time"""
        start = self.lab.now()
        laptop = self.fleet.laptop
        r = laptop.call(self.fleet.bin, "doctor", *(argv or ["rig"]), "--timeout=5s", *self.fleet.state(laptop, "controller"),
                        *self.flags)
        took = round(self.lab.now() - start, 1)
        self.lab.say(r.stdout.rstrip())
        self.lab.check(f"doctor: {what}", (took, r.returncode), took <= most and good(r.returncode, r.stdout))
