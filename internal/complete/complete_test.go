package complete

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// newProgram returns a program whose commands do nothing, on a machine that knows two others.
func newProgram(t *testing.T, dir string) *cobra.Command {
	t.Helper()
	do := func(*cobra.Command, []string) error { return nil }
	e := console.New(strings.NewReader(""), io.Discard, io.Discard)
	root := &cobra.Command{Use: "swarm", RunE: do}
	e.Flags(root.PersistentFlags())
	stop := &cobra.Command{Use: "stop [TARGET…]", RunE: do}
	stop.Flags().StringSlice("on", nil, "a `SELECTOR`")
	stop.Flags().StringSlice("verbs", nil, "`VERBS`")
	stop.Flags().String("key", "", "a `FILE`")
	stop.Flags().Int("lines", 0, "how many")
	root.AddCommand(stop, &cobra.Command{Use: "doctor [NAME]", RunE: do}, &cobra.Command{Use: "invite NAME", RunE: do},
		&cobra.Command{Use: "deploy [TARGET…] BUNDLE", RunE: do}, &cobra.Command{Use: "rename NAME|PEER NEW", RunE: do},
		&cobra.Command{Use: "watch", RunE: do})
	Install(root, e, Words{"verbs": {"stats.read", "logs.read"}})
	root.SetArgs([]string{"--state", dir})
	return root
}

func TestValues(t *testing.T) {
	dir := t.TempDir()
	if _, err := identity.LoadOrCreate(identity.Path(dir)); err != nil {
		t.Fatal(err)
	}
	b, err := book.Open(book.Dir(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, labels := range map[string]map[string]string{"rig-01": {"gpu": "3080"}, "rig-02": {"gpu": "3090", "site": "home"}} {
		if err := b.Put(book.Entry{Peer: streamtest.PeerID(name), Name: name, Labels: labels}); err != nil {
			t.Fatal(err)
		}
	}
	const files, none, dirs = ":0", ":4", ":16"
	for _, tt := range []struct{ args, want string }{
		{"stop |", "rig-01 rig-02 " + none},
		{"stop rig-01 |", "rig-02 " + none},
		{"stop |x", none},
		{"doctor |r", "rig-01 rig-02 " + none},
		{"doctor rig-01 |", none},
		{"rename |", "rig-01 rig-02 " + none},
		{"rename rig-01 |", none},
		{"invite |", none}, // a name that is not there yet
		{"watch |", none},
		{"deploy |", "rig-01 rig-02 " + files},
		{"stop --on |", "gpu gpu=3080 gpu=3090 site site=home " + none},
		{"stop --on |site=home,gpu=", "site=home,gpu=3080 site=home,gpu=3090 " + none},
		{"stop --verbs |l", "logs.read " + none},
		{"stop --verbs |logs.read,", "logs.read,stats.read " + none},
		{"stop --lines |", none},
		{"stop --key |", files},
		{"stop --state |", dirs},
		{"stop --config |", files},
	} {
		before, typed, _ := strings.Cut(tt.args, "|")
		args := append([]string{"__complete"}, strings.Fields(before)...)
		if !strings.Contains(before, "--state") {
			args = slices.Insert(args, 2, "--state", dir)
		}
		root := newProgram(t, dir)
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append(args, typed))
		if err := root.Execute(); err != nil {
			t.Errorf("%s: %v", tt.args, err)
		}
		if got := strings.Join(strings.Fields(out.String()), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// To complete a word makes no identity where there is none.
func TestNothingIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "absent")
	root := newProgram(t, dir)
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	root.SetArgs([]string{"__complete", "stop", "--state", dir, ""})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(dir); found != nil {
		t.Errorf("made %v", found)
	}
}

// Members of the fleet are completed before they were ever met, with their labels.
func TestMembersAreCompleted(t *testing.T) {
	dir := t.TempDir()
	if _, err := admin.InitFleet(admin.Init{StateDir: dir, Fleet: "home", Name: "laptop"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	root := newProgram(t, dir)
	root.SetOut(&out)
	root.SetArgs([]string{"__complete", "--state", dir, "stop", "l"})
	if err := root.Execute(); err != nil || !strings.HasPrefix(out.String(), "laptop\n") {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
