package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// losses are what a loss of power, or a bad card, does to a file.
var losses = []struct {
	name string
	do   func(path string, data []byte) error
}{
	{"emptied", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) }},
	{"zeroed", func(path string, data []byte) error { return os.WriteFile(path, make([]byte, len(data)), 0o600) }},
	{"cut in half", func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) }},
	{"gone", func(path string, _ []byte) error { return os.Remove(path) }},
}

// A file of the membership that is lost lets nobody in who was revoked, and the next contact with
// the owner makes the machine whole. With two lost at once it takes the root's waiver.
func TestDamagedMembership(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	friend := f.letInController("friend")
	if !friend.commands(g) {
		t.Fatal("before: the friend does not command")
	}
	mustRun(t, f.swarm(append([]string{"revoke", "friend"}, f.at(g)...)...))
	g.stop()
	good := filepath.Join(t.TempDir(), "good")
	must(t, os.CopyFS(good, os.DirFS(filepath.Join(g.state, "fleet"))))
	fleet := filepath.Join(g.state, "fleet")
	lose := func(t *testing.T, do func(string, []byte) error, names ...string) {
		g.stop()
		must(t, os.RemoveAll(fleet))
		must(t, os.CopyFS(fleet, os.DirFS(good)))
		must(t, os.Chmod(fleet, 0o700))
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(good, name))
			must(t, err)
			must(t, do(filepath.Join(fleet, name), data))
		}
		g.run(t)
	}
	for _, name := range []string{"statements", "index", "floor", "fleet.json"} {
		for _, d := range losses {
			t.Run(name+" "+d.name, func(t *testing.T) {
				lose(t, d.do, name)
				if friend.commands(g) {
					t.Error("the revoked friend commands")
				}
				if !f.controller.commands(g) {
					t.Errorf("the owner's contact does not make it whole: %s", swarm(t, "status", "--state", g.state).stdout)
				}
				if friend.commands(g) {
					t.Error("the revoked friend commands afterwards")
				}
			})
		}
	}
	t.Run("two at once", func(t *testing.T) {
		lose(t, losses[0].do, "statements", "index")
		if friend.commands(g) || f.controller.commands(g) {
			t.Error("it obeys somebody")
		}
		if s := swarm(t, "status", "--state", g.state).stdout; !strings.Contains(s, "memory of revocations is damaged") {
			t.Errorf("status: %s", s)
		}
		mustRun(t, f.swarm(append([]string{"key", "waive", "rig-01"}, f.at(g)...)...))
		if !f.controller.commands(g) || friend.commands(g) {
			t.Error("the waiver does not bring it back, or brings the friend back")
		}
	})
}
