package agent

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops/forward"
)

// A page that is read ten times a second for an hour has a line a minute in the record, and no byte is
// missing there.
func TestConnectionNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var noted []string
		c := &connectionNotes{note: func(by peer.ID, words string) { noted = append(noted, string(by)+" "+words) }}
		const inAMinute = 607 // at 0, 99, … 59,994 ms
		for range 60 * inAMinute {
			c.add("a", forward.Connection{Target: "x:1", In: 2, Out: 3})
			time.Sleep(99 * time.Millisecond)
		}
		c.add("b", forward.Connection{Target: "x:1", Time: time.Second})
		c.add("a", forward.Connection{Target: "y:1"})
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, want := range []string{
			"a closed after 0.0 s, 2 bytes to it and 3 from it: target=x:1", "a 606 more within a minute, 1212 bytes to it and 1818 from it: target=x:1",
			"b closed after 1.0 s, 0 bytes to it and 0 from it: target=x:1", "a closed after 0.0 s, 0 bytes to it and 0 from it: target=y:1",
		} {
			if !slices.Contains(noted, want) {
				t.Errorf("not noted: %s", want)
			}
		}
		if len(noted) != 2*60+2 {
			t.Errorf("%d lines: %q", len(noted), noted[:min(len(noted), 8)])
		}
		noted = nil
		c.add("a", forward.Connection{Target: "x:1"})
		c.add("a", forward.Connection{Target: "x:1"})
		c.close()
		c.close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(noted) != 2 || len(c.pool) != 0 {
			t.Errorf("at the end: %q", noted)
		}
	})
}
