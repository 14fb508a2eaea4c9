package backoff_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

func TestBackoff(t *testing.T) {
	b := backoff.Backoff{First: time.Second, Most: 5 * time.Second}
	var got []time.Duration
	for range 5 {
		got = append(got, b.Next())
	}
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second}
	if !slices.Equal(got, want) {
		t.Errorf("pauses %v, want %v", got, want)
	}
	b.Reset()
	if d := b.Next(); d != time.Second {
		t.Errorf("after a reset %v, want 1s", d)
	}
}

func TestLess(t *testing.T) {
	for range 1000 {
		if d := backoff.Less(time.Second, 0.25); d <= 750*time.Millisecond || d > time.Second {
			t.Fatalf("a pause of %v, want more than 750ms and at most 1s", d)
		}
	}
	if d := backoff.Less(time.Second, 0); d != time.Second {
		t.Errorf("without jitter %v, want 1s", d)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !backoff.Wait(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("it waited %v, want 1m", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if backoff.Wait(ctx, time.Hour) || time.Since(began) > 2*time.Minute {
			t.Error("the end of the context did not end the wait")
		}
		if backoff.Wait(ctx, 0) {
			t.Error("no wait after the end")
		}
	})
}
