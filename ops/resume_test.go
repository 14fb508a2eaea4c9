package ops_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops"
)

// errCut is what ends a feed whose connection is lost.
var errCut = errors.New("cut")

// followed is what came of a followed log over several connections.
type followed struct {
	t    *testing.T
	text string
	last ops.Logs
}

// cutAfter follows as req says until enough says that the connection is lost, and returns the
// request that goes on behind the last item.
func (f *followed) cutAfter(s *ops.Service, req ops.LogsRequest, enough func(ops.Logs) bool) ops.LogsRequest {
	f.t.Helper()
	_, err := s.Logs(f.t.Context(), req, func(l ops.Logs) error {
		f.text, f.last = f.text+text(l), l
		if enough(l) {
			return errCut
		}
		return nil
	})
	if !errors.Is(err, errCut) {
		f.t.Fatalf("the feed ended with %v after %+v", err, f.last)
	}
	return req.After(f.last)
}

func (f *followed) says(n int, want string) func(ops.Logs) bool {
	return func(ops.Logs) bool { return strings.Count(f.text, want) == n }
}

func stopMiner(t *testing.T, s *ops.Service, name string) {
	t.Helper()
	if _, err := s.StopMiner(context.Background(), ops.StopRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
}

// A followed log that was cut goes on behind the last item, and tells another run from the one that
// was followed.
func TestFollowGoesOn(t *testing.T) {
	start := ops.LogsRequest{Name: "waits", Offset: new(int64), Follow: true}

	t.Run("the same run", func(t *testing.T) {
		s, _ := newService(t, t.TempDir())
		mustStart(t, s, ops.StartRequest{Miner: "waits"})
		f := &followed{t: t}
		req := f.cutAfter(s, start, f.says(1, "run 1\n"))
		run := f.last.Run
		if req = f.cutAfter(s, req, func(ops.Logs) bool { return true }); run == "" || f.last.Run != run || f.last.Restarted != nil {
			t.Errorf("went on with %+v, want run %s", f.last, run)
		}
		stopMiner(t, s, "waits")
		last, err := s.Logs(t.Context(), req, nil)
		if err != nil || last.Exit == nil || last.Restarted != nil || f.text+text(last) != "run 1\nbye\n" {
			t.Errorf("stopped while it was cut: %+v, %v", last, err)
		}
	})

	t.Run("another run", func(t *testing.T) {
		s, _ := newService(t, t.TempDir())
		mustStart(t, s, ops.StartRequest{Miner: "waits"})
		f := &followed{t: t}
		req := f.cutAfter(s, start, f.says(1, "run 1\n"))
		old := f.last
		stopMiner(t, s, "waits")
		mustStart(t, s, ops.StartRequest{Miner: "waits"})
		req = f.cutAfter(s, req, func(l ops.Logs) bool { return l.Restarted != nil })
		if at := old.Next + int64(len("1790000000000 o bye\n")); f.last.Run == old.Run || *f.last.Restarted != at {
			t.Errorf("went on with %+v, want another run from %d on", f.last, at)
		}
		f.cutAfter(s, req, f.says(1, "run 2\n"))
		if f.last.Restarted != nil || f.text != "run 1\nbye\nrun 2\n" {
			t.Errorf("followed %q, the last item is %+v", f.text, f.last)
		}
	})

	t.Run("another worker", func(t *testing.T) {
		dir := t.TempDir()
		s, end := newService(t, dir)
		mustStart(t, s, ops.StartRequest{Miner: "waits"})
		f := &followed{t: t}
		req := f.cutAfter(s, start, f.says(1, "run 1\n"))
		old := f.last.Run
		end()
		s, _ = newService(t, dir)
		req = f.cutAfter(s, req, f.says(1, "bye\n"))
		if !f.last.Waiting || req.Run != old {
			t.Errorf("went on with %+v, and asks for %+v", f.last, req)
		}
		begun := make(chan struct{})
		time.AfterFunc(50*time.Millisecond, func() { defer close(begun); mustStart(t, s, ops.StartRequest{Miner: "waits"}) })
		defer func() { <-begun }() // the log may be there before the answer
		f.cutAfter(s, req, f.says(1, "run 2\n"))
		if f.last.Run == old || f.last.Waiting || f.text != "run 1\nbye\nrun 2\n" {
			t.Errorf("followed %q, the last item is %+v", f.text, f.last)
		}
	})

	// A power cut takes the last seconds of a log, so that the next run begins before the place that
	// the follower has read to.
	t.Run("the end of the log is lost", func(t *testing.T) {
		s, _ := newService(t, t.TempDir())
		mustStart(t, s, ops.StartRequest{Miner: "waits"})
		beyond := int64(1 << 20)
		req := ops.LogsRequest{Name: "waits", Follow: true, Offset: &beyond, Run: "of an earlier worker"}
		f := &followed{t: t}
		f.cutAfter(s, req, f.says(1, "run 1\n"))
		if f.last.Restarted == nil || *f.last.Restarted != 0 {
			t.Errorf("went on with %+v", f.last)
		}
	})
}

// The first item of a followed log says where it stands, also when there is nothing in it: what was
// not begun is not gone on with.
func TestFollowBeginsAtOnce(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	mustStart(t, s, ops.StartRequest{Miner: "waits"})
	f := &followed{t: t}
	future := time.Now().Add(time.Hour).UnixMilli()
	f.cutAfter(s, ops.LogsRequest{Follow: true, Since: future}, func(ops.Logs) bool { return true })
	if f.last.Run == "" || len(f.last.Lines) > 0 {
		t.Errorf("the first item is %+v", f.last)
	}
}
