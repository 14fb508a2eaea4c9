"""A worker that nobody may dial: it is connected because it dials, and the doctor says so.

args: swarm binary
"""
import json
import time

from rig.swarm import Fleet


def main(lab, args):
    laptop, rig = lab.host("laptop"), lab.host("rig")
    fleet = Fleet(args, laptop)
    serve = fleet.serve("--mdns=false")
    fleet.join(rig, "rig")
    rig.nft("""table ip shut {
 chain into { type filter hook input priority 0; iifname "lo" accept; ct state established,related accept; drop; }
}""")
    fleet.worker(rig, "--mdns=false")
    took = lab.until(lambda: fleet.answers("rig"), 30)
    lab.check("a command works", took, took is not None, "s")
    began = time.monotonic()
    r = laptop.call(fleet.bin, "doctor", "rig", "--json", *fleet.state(laptop, "controller"), timeout=60)
    took = round(time.monotonic() - began, 1)
    found = [json.loads(line) for line in r.stdout.splitlines()]
    lab.check("doctor: it is well", (r.returncode, found[-1]["text"]), r.returncode == 0 and "is well" in found[-1]["text"])
    lab.check("in time", took, took <= 2, "s")
    lab.check("its addresses are no fault", [f["text"] for f in found if f["level"] != "ok"],
              not any(f["check"] == "address" and f["level"] == "fail" for f in found))
    serve.pause()
    began = time.monotonic()
    r = laptop.call(fleet.bin, "doctor", "rig", "--timeout=5s", *fleet.state(laptop, "controller"), timeout=60)
    took = round(time.monotonic() - began, 1)
    lab.check("with serve stopped the doctor says so, in time", (r.returncode, took, r.stderr[-300:]),
              took <= 6 and "does not answer" in r.stderr)
    serve.resume()
    took = lab.until(lambda: fleet.answers("rig"), 30)
    lab.check("serve goes on: a command works", took, took is not None and took <= 5, "s")
