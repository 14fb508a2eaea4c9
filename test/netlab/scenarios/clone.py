"""A card is copied: two machines run with one identity. It is noticed, told everywhere, and what has an effect is held.

args: swarm binary, "lan" or "relay": whether the two meet in one LAN, or only by way of a relay behind NATs of their own
"""
import json
import os
import shutil

from rig.swarm import Fleet

START = ["start_miner", "rig", "--miner", "refpow", "--pool", "stratum+tcp://127.0.0.1:9"]


def main(lab, args):
    where = args[1]
    fleet, first, second, flags = (in_lan if where == "lan" else by_relay)(lab, args[:1])
    one = fleet.worker(first, *flags)
    stop_and_start(lab, fleet, first, one, flags)
    shutil.copytree(os.path.join(first.dir, "worker"), os.path.join(second.dir, "worker"))
    lab.event("the copy starts")
    two = fleet.worker(second, *flags)

    def held():
        """the error of a command that is held; a workload that runs already is another conflict"""
        rc, got = fleet.ask(*START, "--timeout=5s")
        error = got.get("rig", {}).get("error") or {"code": 0, "message": ""}
        return error if rc == 2 and error["code"] == 409 and error["message"].startswith("held: ") else None
    took = lab.until(held, 60)
    lab.check("what has an effect is held", took, took is not None and took <= 30, "s")
    error = held() or {"message": ""}
    lab.check("in one line that says what to do", error["message"],
              "swarm leave, delete identity.pem, join again with a new ticket" in error["message"] and "\n" not in error["message"])
    lab.check("what has none is answered", None, fleet.answers("rig"))
    for host in (first, second):
        lab.eventually(f"{host.name}: status says so", lambda: "WARNING      two machines" in status(fleet, host), 30)
    lab.eventually("peers says so", lambda: any(p.get("twin") for p in map(json.loads, fleet.run("peers", "--json").splitlines())), 30)
    doctor = fleet.laptop.call(fleet.bin, "doctor", "rig", "--json", "--mdns=false", *fleet.state(fleet.laptop, "controller"))
    lab.check("doctor says so", doctor.returncode, doctor.returncode == 2 and "TWO MACHINES" in doctor.stdout)
    lab.eventually("events said so", lambda: any(e.get("event") == "twin" for _, e in fleet.events.json()), 10)

    two.stop()
    took = lab.until(lambda: not held(), 360)
    lab.check("one is gone: it ends", took, took is not None and 60 <= took <= 300, "s")
    lab.eventually("status is quiet", lambda: "WARNING      two machines" not in status(fleet, first), 5)
    one.stop()


def status(fleet, host):
    return host.run(fleet.bin, "status", *fleet.state(host, "worker"))


def stop_and_start(lab, fleet, host, worker, flags):
    """a worker that is killed and started again is one machine, and so is one with two addresses"""
    lab.eventually("it answers", lambda: fleet.answers("rig"), 20)
    for _ in range(3):
        worker.kill9()
        worker.restart()
        lab.eventually("it answers again", lambda: fleet.answers("rig"), 30)
        rc, got = fleet.ask(*START, "--timeout=5s")
        lab.check("it is one machine", rc, rc == 0)
        fleet.ask("stop_miner", "rig", "--name", "refpow", "--timeout=5s")


def in_lan(lab, args):
    home = lab.lan("home")
    lab.nat("router", home)
    laptop, first, second = lab.host("laptop", home), lab.host("rig-a", home), lab.host("rig-b", home)
    fleet = Fleet(args, laptop)
    watch(fleet)
    fleet.join(first, "rig", enable="miner=refpow")
    return fleet, first, second, []


def by_relay(lab, args):
    vps, homes = lab.host("vps"), [lab.lan(n) for n in "abc"]
    for lan in homes:
        lab.nat("nat-" + lan.name, lan, kind="symmetric")
    laptop, first, second = lab.host("laptop", homes[0]), lab.host("rig-a", homes[1]), lab.host("rig-b", homes[2])
    fleet = Fleet(args, laptop)
    fleet.relay(vps)
    watch(fleet, "--mdns=false")
    fleet.join(first, "rig", "--via", "vps", enable="miner=refpow")
    return fleet, first, second, ["--mdns=false"]


def watch(fleet, *flags):
    """the controller that serves, and what it says of what happens"""
    fleet.serve(*flags)
    fleet.events = fleet.laptop.spawn([fleet.bin, "events", "--json", *fleet.state(fleet.laptop, "controller")], name="events")
