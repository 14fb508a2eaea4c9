"""A program that runs in a host of the lab."""
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time

from rig.sh import LabError


class Proc:
    """a process inside a host; every output line is stamped with lab time"""

    def __init__(self, host, name, argv, env, cwd, rlimits):
        self.host, self.lab, self.name, self.argv = host, host.lab, name, list(argv)
        self.kw = dict(env=env, cwd=cwd, rlimits=rlimits)
        self.lines, self.cv = [], threading.Condition()
        full = ["nsenter", f"--net=/run/netns/{host.name}", "--", "unshare", "--uts", "sh", "-c",
                'hostname "$0"; exec "$@"', host.name]
        if rlimits:
            full += ["prlimit"] + [f"--{k}={v}" for k, v in rlimits.items()] + ["--"]
        full += self.argv
        e = dict(os.environ, HOME=host.dir, TMPDIR=host.dir, **(env or {}))
        self.p = subprocess.Popen(full, cwd=cwd or host.dir, env=e, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.p.pid
        self.logf = open(os.path.join(self.lab.out, f"{host.name}.{name}.log"), "a", buffering=1, errors="replace")
        self.th = threading.Thread(target=self._read, daemon=True)
        self.th.start()
        self.lab.event("spawn", host=host.name, proc=name, pid=self.pid, argv=self.argv)

    def _read(self):
        for raw in self.p.stdout:
            t = self.lab.now()
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.logf.write(f"{t:9.3f} {line}\n")
            with self.cv:
                self.lines.append((t, line))
                self.cv.notify_all()
        rc = self.p.wait()
        self.logf.write(f"{self.lab.now():9.3f} -- exit {rc}\n")
        with self.cv:
            self.rc = rc
            self.cv.notify_all()
        self.lab.event("exit", host=self.host.name, proc=self.name, pid=self.pid, rc=rc)

    def alive(self):
        return self.p.poll() is None

    def logs(self):
        with self.cv:
            return "\n".join(l for _, l in self.lines)

    def json(self, **match):
        """parsed JSON lines as (lab time, object), filtered by key=value"""
        r = []
        with self.cv:
            ls = list(self.lines)
        for t, l in ls:
            if l.startswith("{"):
                with contextlib.suppress(ValueError):
                    o = json.loads(l)
                    if all(o.get(k) == v for k, v in match.items()):
                        r.append((t, o))
        return r

    def wait_line(self, pattern, timeout=10, since=0.0):
        """first line that matches the regex (stamped at or after since): (lab time, match)"""
        rx, end, i = re.compile(pattern), time.monotonic() + timeout, 0
        with self.cv:
            while True:
                while i < len(self.lines):
                    t, l = self.lines[i]
                    i += 1
                    if t >= since and (m := rx.search(l)):
                        return t, m
                left = end - time.monotonic()
                if left <= 0 or not self.cv.wait(left):
                    if time.monotonic() >= end:
                        raise LabError(f"{self.host.name}.{self.name}: no line /{pattern}/ in {timeout}s")
                if hasattr(self, "rc") and i >= len(self.lines):
                    raise LabError(f"{self.host.name}.{self.name}: exited rc={self.rc}, no line /{pattern}/")

    def wait_json(self, timeout=10, since=0.0, **match):
        end = time.monotonic() + timeout
        while True:
            for t, o in self.json(**match):
                if t >= since:
                    return t, o
            if time.monotonic() > end or (hasattr(self, "rc")):
                raise LabError(f"{self.host.name}.{self.name}: no JSON line {match} in {timeout}s")
            with self.cv:
                self.cv.wait(0.05)

    def write(self, s):
        self.p.stdin.write(s.encode())
        self.p.stdin.flush()

    def signal(self, sig):
        self.lab.event("signal", host=self.host.name, proc=self.name, sig=int(sig))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, sig)

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.th.join(5)

    def wait_exit(self, timeout=10):
        """wait until it ends by itself; returns its exit code"""
        self.p.wait(timeout)
        return self.p.returncode

    def stop(self, timeout=5):
        self.signal(signal.SIGTERM)
        try:
            self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()
        self.th.join(5)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def restart(self):
        """kill -9 and start the same command line again"""
        if self.alive():
            self.kill9()
        return self.host.spawn(self.argv, name=self.name, **self.kw)

    def rss_kb(self):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat") as f:
            v = f.read().rsplit(")", 1)[1].split()
        return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")
