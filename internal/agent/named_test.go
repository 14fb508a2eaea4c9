package agent

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Members have their names in the log, beside their peer IDs; strangers have none.
func TestLogNamesMembers(t *testing.T) {
	root, err := trust.NewRoot()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := root.Signer()
	if err != nil {
		t.Fatal(err)
	}
	self := newID(t)
	chain, err := signer.Issue(trust.Grant{Subject: self, Role: trust.RoleWorker, Name: "rig-01"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := trust.CreateFleet(trust.FleetConfig{Dir: filepath.Join(t.TempDir(), "fleet"), Self: self},
		trust.Membership{Fleet: root.Fleet(), Name: "home", Chain: chain}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []any
		want string
	}{
		{[]any{"peer", self}, "peer=" + self.String() + " name=rig-01\n"},
		{[]any{"peer", self.String(), "by", "mdns"}, "peer=" + self.String() + " by=mdns name=rig-01\n"},
		{[]any{"peer", newID(t)}, "\n"},
		{[]any{"peer", "nobody"}, "peer=nobody\n"},
		{[]any{"name", "x", "peer", self}, "name=x peer=" + self.String() + "\n"},
	} {
		var out strings.Builder
		withNames(slog.New(slog.NewTextHandler(&out, nil)), fleet).Info("m", tt.args...)
		if !strings.HasSuffix(out.String(), tt.want) || tt.want == "\n" && strings.Contains(out.String(), "name=") {
			t.Errorf("%v: got %s", tt.args, out.String())
		}
	}
}
