package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// Each reading of a log used to be a line of the capped record, so one who might only
// read could read until a command had dropped out of it.
func TestReadingLogsPushesNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a := OpenRecorder(RecorderConfig{
			Dir: dir, Name: func(peer.ID) string { return "" },
			Audits: func(t streams.Type) bool { return t == ops.GetLogs.Request || t == GetAudit.Request },
		})
		defer a.Close()
		ask := func(by peer.ID, s streams.Spec, summary string) {
			t.Helper()
			_, err := a.Record(t.Context(), streams.Audited{Peer: streams.Peer{ID: by}, Type: s.Request, Verb: s.Verb, ID: uuid.New(), Summary: func() string { return summary }})
			if err != nil {
				t.Fatal(err)
			}
		}
		one, two := streamtest.PeerID("one"), streamtest.PeerID("two")
		ask(one, ops.StartMiner.Spec(), "the first command")
		before := a.Head()
		const minutes = 3
		for range minutes {
			for i := range 200 {
				ask(one, ops.GetLogs.Spec(), fmt.Sprint("log ", i))
				ask(two, ops.GetLogs.Spec(), "log")
				ask(two, GetAudit.Spec(), "audit")
			}
			time.Sleep(time.Minute)
		}
		if a.Head() != before {
			t.Errorf("reading has moved the record from %v to %v", before, a.Head())
		}
		ask(one, ops.StartMiner.Spec(), "the last command")
		got, err := Last(dir, 100)
		if err != nil || VerifyBoth(dir) != nil {
			t.Fatal(err, VerifyBoth(dir))
		}
		// All show in one row: the first reading of each in each minute.
		if len(got) != 2+3*minutes || got[0].Summary != "the first command" || got[len(got)-1].Summary != "the last command" {
			t.Fatalf("the record shows %+v", got)
		}
		for i, e := range got[1 : len(got)-1] {
			want := []string{"log 0", "log", "audit"}[i%3]
			if e.Kind != KindLogRead || e.Summary != want {
				t.Errorf("line %d is %s", i+2, e.Text())
			}
		}
		// So does what the machine sends.
		n := 0
		err = sendAudit(t.Context(), dir, Request{Limit: 4}, func(item Answer) error { n += len(item.Entries); return nil })
		if err != nil || n != 4 {
			t.Errorf("sent %d of the last 4: %v", n, err)
		}
		// A line of it that was changed shows, too.
		files, err := filepath.Glob(filepath.Join(dir, "reads", "*.audit"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		data, err := os.ReadFile(files[0])
		if err == nil {
			err = os.WriteFile(files[0], bytes.Replace(data, []byte("log 0"), []byte("log 9"), 1), 0o600)
		}
		if bad := VerifyBoth(dir); err != nil || bad == nil || !strings.Contains(bad.Error(), "who read logs") {
			t.Errorf("a changed line: %v, %v", bad, err)
		}
	})
}
