package audit

import (
	"bytes"
	"errors"
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

// What comes often is recorded before its effect, the first of a minute and of each kind, and pushes no
// command out; where that is not possible there is no effect.
func TestOftenPushesNothingOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		open := func(dir string) *Recorder {
			return OpenRecorder(RecorderConfig{
				Dir: dir, Name: func(peer.ID) string { return "" }, Audits: func(streams.Type) bool { return false },
				Often: func(t streams.Type) bool { return t == "forward" },
			})
		}
		a := open(dir)
		defer a.Close()
		ask := func(a *Recorder, summary string) error {
			done, err := a.Record(t.Context(), streams.Audited{
				Peer: streams.Peer{ID: streamtest.PeerID("one")}, Type: "forward", Verb: "forward", ID: uuid.New(), Summary: func() string { return summary },
			})
			if done != nil {
				t.Error("its end is an entry, too")
			}
			return err
		}
		before := a.Head()
		for range 3 {
			for range 200 {
				if err := errors.Join(ask(a, "target=x:1"), ask(a, "target=y:1")); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
		}
		got, err := Last(dir, 100)
		if err != nil || len(got) != 6 || got[0].Summary != "target=x:1" || got[0].Result != ResultBegun || a.Head() != before {
			t.Errorf("the record shows %+v, %v", got, err)
		}
		bad := t.TempDir()
		if err := os.WriteFile(readsDir(bad), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		b := open(bad)
		defer b.Close()
		if err := ask(b, "target=x:1"); err == nil {
			t.Error("it has its effect without a record")
		}
	})
}
