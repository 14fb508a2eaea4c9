//go:build slow

package integration

import (
	"fmt"
	"testing"
	"time"
)

func TestFleetForAnHour(t *testing.T) { fleet(t, 20, time.Hour) }

func TestThousandStrangers(t *testing.T) {
	if raceDetector {
		t.Skip("HOW LONG CALLS TAKE IS NOT MEASURED UNDER THE RACE DETECTOR: it is run without by make slow")
	}
	strangersFlood(t, 1000)
}

func TestTwoHundredStrangersAmongMembers(t *testing.T) { amongStrangers(t, 200) }

// TestIdleBudgets: at most a mebibyte an hour for each of twenty. Of two hundred, the one that all begin with stays connected with
// all of them, which is 17 kB an hour for each connection; the others have no more to do than those of twenty.
func TestIdleBudgets(t *testing.T) {
	t.Run("20", func(t *testing.T) { idleWithin(t, 20, 256<<10, 1<<20) })
	t.Run("200", func(t *testing.T) {
		withoutRaceDetector(t)
		idleWithin(t, 200, 512<<10, 5<<20)
	})
}

// TestHundreds: everybody reaches the controller and stays connected with it.
func TestHundreds(t *testing.T) {
	withoutRaceDetector(t)
	for _, workers := range []int{100, 300, 1000} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) { crowd(t, workers, time.Hour) })
	}
}

// withoutRaceDetector skips what takes ten times as long with it, and more memory than a machine of 24 GiB has.
func withoutRaceDetector(t *testing.T) {
	if raceDetector {
		t.Skip("make slow runs it without the race detector")
	}
}
