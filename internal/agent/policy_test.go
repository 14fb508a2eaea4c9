package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/ops/miner/xmrig"
	"github.com/seed-b490fa12/swarm/streams"
)

// receives is a deploy.Receiver that takes what comes.
type receives struct{ took string }

func (r *receives) Receive(_ context.Context, _ peer.ID, _ deploy.Request, body io.Reader) (deploy.Ack, error) {
	got, err := io.ReadAll(body)
	if err == nil {
		r.took = string(got)
	}
	return deploy.Ack{}, err
}

// What the owner forbids while it comes in is not put in place: an upload may take hours.
func TestPolicyEndsADeployment(t *testing.T) {
	for _, forbids := range []bool{false, true} {
		dir := t.TempDir()
		if err := WritePolicy(dir, []string{"deploy"}); err != nil {
			t.Fatal(err)
		}
		file, err := openPolicy(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, sent := io.Pipe()
		go func() {
			_, err := sent.Write([]byte("first "))
			if forbids {
				err = errors.Join(err, os.Remove(policyPath(dir)), file.Reload())
			}
			if err != nil {
				t.Error(err)
			}
			sent.Write([]byte("second")) // nobody may take it
			sent.Close()
		}()
		to := &receives{}
		_, err = policed{file, to}.Receive(t.Context(), "", deploy.Request{Manifest: deploy.Manifest{Name: "app"}}, body)
		body.Close()
		if refused := streams.CodeOf(err) == streams.CodeRefused; refused != forbids || !forbids && to.took != "first second" || forbids && to.took != "" {
			t.Errorf("forbidden meanwhile: %v; %q was taken, %v", forbids, to.took, err)
		}
	}
}

// What may run and is not installed is said when the worker starts, and not only to who starts it.
func TestMinersThatAreNotInstalled(t *testing.T) {
	var log strings.Builder
	for _, enable := range []string{"miner=refpow", "miner=xmrig"} {
		file, err := openPolicy(t.TempDir(), []string{enable})
		if err != nil {
			t.Fatal(err)
		}
		w := &Worker{
			policy: file, log: slog.New(slog.NewTextHandler(&log, nil)),
			adapters: adapters("/bin/swarm", xmrig.Config{Binary: "/nowhere/xmrig"}),
		}
		w.warnMiners(t.Context())
		if said := strings.Contains(log.String(), "there is no /nowhere/xmrig"); said != (enable == "miner=xmrig") {
			t.Errorf("%s: said %q", enable, log.String())
		}
	}
}
