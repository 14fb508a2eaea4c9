"""Many workers in many sites behind NATs, and two relays known by name. One dies; the other gets another address, and its name follows.

args: swarm binary, workers, sites
"""
from rig.swarm import Fleet


def main(lab, args):
    workers, sites = int(args[1]), int(args[2])
    home = lab.lan("home")
    lab.nat("n", home, kind="symmetric")
    laptop, r1, r2 = lab.host("laptop", home), lab.host("r1"), lab.host("r2")
    names = lab.names(lab.host("ns"))
    names.say(r1_lab=r1.ip, r2_lab=r2.ip)
    fleet = Fleet(args, laptop)
    flags = ["--mdns=false"]
    for relay in (r1, r2):
        fleet.relay(relay, *flags, "--external", f"/dns4/{relay.name}.lab/tcp/4747",
                    "--external", f"/dns4/{relay.name}.lab/udp/4747/quic-v1", issues=relay is r1)
    machines = []
    for i in range(sites):
        site = lab.lan(f"s{i}")
        lab.nat(f"n{i}", site, kind="symmetric")
        machines += [lab.host(f"w{i}-{k}", site) for k in range(workers // sites)]
    start = lab.now()
    for m in machines:
        fleet.join(m, m.name, "--via", "r1")
    lab.check(f"{len(machines)} have joined", round(lab.now() - start, 1), None, "s")
    nodes = [fleet.worker(m, *flags) for m in machines]
    fleet.serve(*flags)

    def answering():
        rc, got = fleet.ask("get_stats", "--all", "--timeout=2s")
        return sum(got[m.name]["ok"] for m in machines if m.name in got)

    lab.eventually("all answer", lambda: answering() == len(machines), 40)
    lab.eventually("all hold a place with both relays",
                   lambda: all(n.logs().count("reach this node by way of a relay") >= 2 for n in nodes), 40)
    lab.sleep(3)
    start = lab.now()
    r1.crash()
    names.say(r1_lab=r1.ip, r2_lab=r2.set_ip())
    seen = []

    def all_answer():
        n = answering()
        seen.append((round(lab.now() - start, 1), n))
        return n == len(machines)

    took = lab.until(all_answer, 60)
    lab.check("(seconds since, how many answer)", seen)
    lab.check("one relay dead, the other's name moved: all answer within 10 s", seen[-1][0],
              took is not None and seen[-1][0] <= 10, "s")
