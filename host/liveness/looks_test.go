package liveness

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// TestLooksAreBounded: of many peers that are silent at once few are looked for at a time; all that are
// there are found one after the other, and of those that are not only few are looked for.
func TestLooksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l looks
		var under, most, looked atomic.Int32
		look := func(found bool) func(context.Context) bool {
			return func(context.Context) bool {
				looked.Add(1)
				if n := under.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(50 * time.Millisecond)
				under.Add(-1)
				return found
			}
		}
		crowd := func(found bool, tries int) int32 {
			looked.Store(0)
			for range 50 {
				go func() {
					for range tries {
						if found, _ := l.try(t.Context(), look(found)); found {
							return
						}
						time.Sleep(50 * time.Millisecond)
					}
				}()
			}
			time.Sleep(time.Duration(tries) * 100 * time.Millisecond)
			synctest.Wait()
			return looked.Load()
		}
		if n := crowd(true, 20); n != 50 || most.Load() != looksAtATime {
			t.Errorf("%d of 50 were looked for, %d at a time, want all, %d at a time", n, most.Load(), looksAtATime)
		}
		if n := crowd(false, 20); n != vain {
			t.Errorf("%d were looked for in vain, want %d", n, vain)
		}
		time.Sleep(vainAgain)
		if n := crowd(false, 1); n != 1 {
			t.Errorf("%d were looked for in vain %v later, want 1", n, vainAgain)
		}
	})
}

// TestARelayIsLookedForBesideAll: the peers that are reached through a relay are silent together with it,
// and are not found before it; so it is looked for however many they are, and they are when it is found.
func TestARelayIsLookedForBesideAll(t *testing.T) {
	for name, relay := range map[string]bool{"a relay": true, "one more": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := new(Watch)
				var back atomic.Bool
				silence := func(relay bool) (took time.Duration) {
					q := answersAfter(time.Hour)
					q.Relay = relay
					q.Elsewhere = func(ctx context.Context) bool {
						return backoff.Wait(ctx, time.Millisecond) && (relay || back.Load())
					}
					began := time.Now()
					w.Lives(t.Context(), new(link), q)
					return time.Since(began)
				}
				const behind = 30
				took := make(chan time.Duration, behind)
				for range behind {
					go func() { took <- silence(false) }()
				}
				time.Sleep(time.Second)
				if got := silence(relay); (got == overtaken) != relay {
					t.Errorf("found dead after %v", got)
				}
				back.Store(true)
				for range behind {
					if got := <-took; (got < 5*time.Second) != relay {
						t.Errorf("one behind it: found dead after %v", got)
					}
				}
			})
		})
	}
}
