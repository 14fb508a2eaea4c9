package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mistake is one that a person makes in the first days, and what the program must say: what is the case,
// why, and what to do next.
type mistake struct {
	name            string
	args            []string
	what, why, next string // regular expressions
}

// TestMistakes makes the mistakes of people in their first days. Those that need a second user, a full
// disk, another machine or a minute have their tests elsewhere: TestUnsafeFiles, TestTwins,
// TestTicketIsRefusedInWords, TestFailuresLookDifferent, TestServeRefusesOtherUsers, TestDoctor.
func TestMistakes(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01", "--label", "gpu=3080")
	viewer := f.letInController("friend", "--verbs", "*.read")
	c, other := []string{"--state", f.state, "--mdns=false"}, newController(t)
	w := []string{"--state", filepath.Join(t.TempDir(), "worker"), "--mdns=false"}
	at := func(args []string, more ...string) []string { return append(append([]string{}, more...), args...) }
	file := filepath.Join(t.TempDir(), "a.yaml")
	must(t, os.WriteFile(file, []byte("name: x\nenabel: y\n"), 0o600))
	pool := []string{"--pool", "stratum+tcp://127.0.0.1:3333", "--wallet", "W"}
	friend := append([]string{"--state", viewer.state, "--mdns=false"}, viewer.at(g)...)
	_, elsewhere, _ := strings.Cut(g.addr, "/p2p/")
	tcp := strings.TrimSuffix(g.addr, "/p2p/"+elsewhere)
	offline := "/ip4/127.0.0.1/tcp/1/p2p/" + other.id

	for _, m := range []mistake{
		{"a ticket that is cut", at(w, "join", "swarm1-abcdefghi", "--yes")[:3], "ticket", "altered or cut", "copy all of it again"},
		{"no ticket", []string{"join", "-", "--state", w[1]}, "read the ticket", "nothing came", `swarm invite`},
		{"an unknown machine", at(c, "stats", "rig01"), `no machine is named "rig01"`, "here", `did you mean rig-01\?.*swarm peers`},
		{"an unknown operation", at(c, "controller", "exec", "get_stat", "--all"), "unknown operation", "want one of", "did you mean get_stats"},
		{"a command with a letter wrong", []string{"memebers"}, "unknown command", `"memebers"`, "did you mean swarm members.*swarm --help"},
		{"a flag with a letter wrong", []string{"start", "rig-01", "--minr", "x"}, "--minr", "is not for start", "did you mean --miner.*--help"},
		{"what is no name of a policy", at(w, "worker", "--enable", "xmrig"), "invalid policy", `"xmrig"`, "want miner=NAME"},
		{"a miner that there is not", at(w, "worker", "--enable", "miner=xmirg"), "invalid policy", `no miner "xmirg"`, "there are: refpow, xmrig"},
		{"a name for a peer ID", at(w, "worker", "--allow", "rig-01"), `--allow "rig-01"`, "not a peer ID", "swarm id"},
		{"a port that is taken", at(w, "worker", "--listen", tcp), "listen on", "another program has this port", "give another one.*--listen"},
		{"an address of sockets to listen on", at(w, "worker", "--listen", "0.0.0.0:4747"), "listen address", "must look like", "/ip4/0.0.0.0/tcp/4747"},
		{"the same node twice", []string{"worker", "--state", g.state}, "a worker runs here already", `pid \d+.*state directory`, `stop it first \(kill \d+.*--state DIR`},
		{"a part of an address", at(c, "ping", "/ip4/300.1.1.1/tcp/4747/p2p/"+g.peer), "address", `"300.1.1.1" is no value of ip4`, "must look like /ip4/"},
		{"a protocol that there is not", at(c, "ping", "/ip4/192.0.2.1/tpc/4747/p2p/"+g.peer), "address", `no protocol "tpc"`, "must look like /ip4/"},
		{"an address without a peer", at(c, "ping", "/ip4/192.0.2.1/tcp/4747"), "address", "names no peer", "/p2p/<peer ID>"},
		{"an address of sockets", at(c, "stats", "192.0.2.1:4747"), `"192.0.2.1:4747"`, "without the identity", "name .swarm peers., or /ip4/192.0.2.1/tcp/4747/p2p/"},
		{"an address of IPv6", at(c, "stats", "[2001:db8::7]:4747"), "2001:db8::7", "without the identity", "/ip6/2001:db8::7/tcp/4747/p2p/"},
		{"an address without a port", at(c, "stats", "192.0.2.1"), `"192.0.2.1"`, "without the identity", "/ip4/192.0.2.1/tcp/4747/p2p/"},
		{"a host and a port", at(c, "stats", "rig-01.lan:4747"), "rig-01.lan", "without the identity", "/dns/rig-01.lan/tcp/4747/p2p/"},
		{"another machine there", at(c, "ping", "-c", "1", tcp+"/p2p/"+newController(t).id), "another machine answers", "set up anew or has moved", "swarm doctor"},
		{"a selector of another kind", at(c, "stats", "--on", "site:cabin"), `--on "site:cabin"`, "want key=value", "did you mean site=cabin"},
		{"two selectors", at(c, "stats", "--on", "gpu=3080", "--on", "site=home"), "gpu=3080,site=home", "none has a label site", "swarm members"},
		{"a selector of nobody", at(c, "stats", "--on", "gpu=4090"), "gpu=4090", "gpu is 3080 everywhere", "swarm members"},
		{"a pool without a scheme", at(c, "start", "rig-01", "--miner", "refpow", "--pool", "127.0.0.1:3333", "--wallet", "W"), "pool", `"127.0.0.1:3333"`, "need stratum.tcp://host:port"},
		{"a miner that is not enabled", at(c, append([]string{"start", "rig-01", "--miner", "xmrig"}, pool...)...), `miner "xmrig"`, "not in the owner's list", "--enable miner=xmrig"},
		{"more threads than processors", at(c, append([]string{"start", "rig-01", "--miner", "refpow", "--threads", "999"}, pool...)...), "999 threads asked", "this machine has", "ask for fewer"},
		{"what is no object", at(c, "controller", "exec", "start_miner", "rig-01", "--payload", "miner: x"), "--payload", "invalid character", "want an object.*--help"},
		{"an unknown member", at(c, "controller", "exec", "start_miner", "rig-01", "--payload", `{"pol":1}`), "--payload", `unknown member "/pol"`, "members of the request.*--help"},
		{"an unknown setting", at(c, "stats", "--all", "--config", file), `:2: unknown setting "enabel"`, "name of a flag", "did you mean enable"},
		{"no right", at(friend, append([]string{"start", "rig-01", "--miner", "refpow"}, pool...)...), "not permitted", "miner.control is not among the rights of friend", "swarm grant"},
		{"an unknown right", at(c, "grant", "rig-01", "--verbs", "stats.raed")[:6], `"stats.raed"`, "is no right", "did you mean stats.read"},
		{"an unknown right of a ticket", at(c, "invite", "q", "--verbs", "nonsense.verb"), `"nonsense.verb"`, "is no right", "want some of stats.read.*--any-verb"},
		{"an unknown role", at(c, "invite", "q", "--role", "admin"), "no role", `"admin"`, "want one of worker, relay"},
		{"a name that is taken", at(c, "invite", "rig-01", "--listen", anyPort), "a member rig-01 already", g.peer, "another name, or rename.*swarm rename"},
		{"a member that may not let others in", at(c, append([]string{"invite", "rig-03", "--via", "rig-01"}, f.at(g)...)...), "does not take the ticket", "no grant to let others in", "swarm grant rig-01 --issue worker"},
		{"a fleet is there already", []string{"init", "--no-passphrase", "--state", f.state}, "in a fleet already", "this node", "swarm status.*swarm leave"},
		{"nobody serves", []string{"events", "--state", f.state}, "no controller serves", "only the controller that serves knows", "swarm controller serve"},
		{"a machine that is off", at([]string{"--state", other.state, "--mdns=false"}, "stats", offline), "offline", "never answered here", "swarm doctor"},
		{"nothing to deploy", at(c, "deploy", "rig-01"), `no file or directory "rig-01"`, "here", "the last argument is what to deploy"},
		{"an argument too much", []string{"init", "home"}, "takes no arguments", `"home"`, "swarm init --help"},
		{"nobody answers a question", []string{"leave", "--state", f.state}, "not left", "nobody answered", "--yes"},
	} {
		t.Run(m.name, func(t *testing.T) {
			r := swarmIn(t.Context(), t, strings.NewReader(""), m.args...)
			if r.code == 0 || r.stdout != "" {
				t.Errorf("exit code %d, on standard output %q", r.code, r.stdout)
			}
			for grade, want := range map[string]string{"what": m.what, "why": m.why, "next": m.next} {
				if !regexp.MustCompile(`(?s)` + want).MatchString(r.stderr) {
					t.Errorf("%s, %q, is not told in: %s", grade, want, r.stderr)
				}
			}
			if r.took > 20*time.Second {
				t.Errorf("took %v", r.took)
			}
		})
	}
}
