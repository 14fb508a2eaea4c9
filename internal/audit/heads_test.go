package audit

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// A damaged memory of a machine's audit log is set aside, and the next answer begins anew.
func TestDamagedHeads(t *testing.T) {
	h, p := HeadsOf(t.TempDir()), streamtest.PeerID("worker")
	if err := errors.Join(h.Put(p, Head{Count: 7, Hash: "x"}), os.WriteFile(h.path(p), []byte(`[{"count":`), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Get(p); err == nil || !strings.Contains(err.Error(), h.path(p)+".damaged") {
		t.Errorf("got %v", err)
	}
	if err := h.Add(p, Head{Count: 8, Hash: "y"}); err != nil {
		t.Error(err)
	}
	if got, err := h.Get(p); err != nil || len(got) != 1 || got[0].Count != 8 {
		t.Errorf("got %v, %v", got, err)
	}
}
