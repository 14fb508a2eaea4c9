#!/usr/bin/env python3
"""netlab: a chaos rig made of network namespaces (Python 3.11 standard library, iproute2, nftables).

    python3 netlab.py scenarios/smoke.py ../../bin/swarm     run one scenario
    python3 netlab.py --out DIR scenarios/smoke.py …         keep logs, events and results in DIR

The whole lab lives in its own pid, mount and network namespaces (and user namespace when not root), so it
can reach nothing outside, two labs never collide, and when the lab process ends - kill -9 included -
the kernel takes every process, interface, bridge and rule with it.
A scenario is a Python file with  def main(lab, args): ...
"""
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from rig.lab import Lab
from rig.sh import LabError, sh


def main():
    args = sys.argv[1:]
    out, seed = None, 1
    while args and args[0].startswith("--"):
        o = args.pop(0)
        if o == "--out":
            out = os.path.abspath(args.pop(0))
        elif o == "--seed":
            seed = int(args.pop(0))
        else:
            sys.exit(__doc__)
    if not args:
        sys.exit(__doc__)
    if os.environ.get("NETLAB_INSIDE") != "1":
        os.environ["NETLAB_INSIDE"] = "1"
        flags = ["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        if os.geteuid() != 0 or os.environ.get("NETLAB_USERNS"):
            flags = ["--user", "--map-root-user"] + flags
        tmp = out or tempfile.mkdtemp(prefix="netlab-")
        os.makedirs(tmp, exist_ok=True)
        rc = 1
        r, w = os.pipe()  # the lab ends when the write end closes, however this process dies
        os.environ["NETLAB_LIFE"] = str(r)
        child = subprocess.Popen(["unshare", *flags, "--", sys.executable, "-u", os.path.abspath(__file__), "--out", tmp,
                                  "--seed", str(seed), *args], pass_fds=(r,))
        os.close(r)
        try:
            rc = child.wait()
        except KeyboardInterrupt:
            child.kill()
            rc = 130
        if not out and rc == 0:
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            print(f"logs, events.jsonl and results.json: {tmp}", file=sys.stderr)
        sys.exit(rc)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    life = int(os.environ.pop("NETLAB_LIFE"))
    os.set_inheritable(life, False)
    threading.Thread(target=lambda: (os.read(life, 1), os._exit(137)), daemon=True).start()
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        del os.environ[name]  # this machine's proxy is not in the lab
    sh("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.makedirs("/run/netns")
    path = os.path.abspath(args[0])
    spec = importlib.util.spec_from_file_location("scenario", path)
    mod = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mod)
    lab, ok = Lab(out, seed), False
    try:
        mod.main(lab, args[1:])
        ok = True
    except LabError as e:
        print("ERROR", e, file=sys.stderr)
        lab.event("error", err=str(e))
    finally:
        ok = lab.close() and ok
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
