package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// A machine that this controller's own settings forbid is neither off nor cut off.
func TestDoctorDeniedHere(t *testing.T) {
	c, err := agent.Started(agent.NewCommand(agent.ControllerConfig{StateDir: t.TempDir(), Net: agent.NetConfig{DenyNets: []string{"127.0.0.0/8"}}}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Node.Book().Put(book.Entry{Peer: streamtest.PeerID("rig"), Name: "rig", Addrs: []string{"/ip4/127.0.0.1/tcp/1"}}); err != nil {
		t.Fatal(err)
	}
	d, err := Machine(t.Context(), c.Node, c, "rig", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(d.Findings); !strings.Contains(text, "DENIED HERE") || !strings.Contains(text, "--deny-net") {
		t.Errorf("found %s", text)
	}
	if code := streams.CodeOf(d.Err); code != streams.CodeUnavailable {
		t.Errorf("code %d", code)
	}
}

// One that is gone by the time it is asked has refused nothing.
func TestExamineRefusal(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want Code
		code streams.Code
	}{
		{"it is gone", fmt.Errorf("connect: %w", host.ErrUnreachable), CodeUnsteady, streams.CodeUnavailable},
		{"it is silent", streams.Errorf(streams.CodeTimeout, "no answer"), CodeUnsteady, streams.CodeTimeout},
		{"another version", streams.Errorf(streams.CodeUnsupported, "you speak protocol 1.0.0"), CodeVersion, streams.CodeUnsupported},
		{"it says no", streams.Errorf(streams.CodeForbidden, "thrown out"), CodeRefused, streams.CodeForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := examination{target: agent.Target{Name: "rig"}}
			d.refusal(t.Context(), tc.err)
			found := slices.ContainsFunc(d.Findings, func(f Finding) bool {
				return f.Check == "result" && f.Code == tc.want && strings.HasPrefix(f.Text, string(tc.want))
			})
			if code := streams.CodeOf(d.Err); !found || code != tc.code {
				t.Errorf("%v and code %d, want %s and %d", d.Findings, code, tc.want, tc.code)
			}
		})
	}
}
