//go:build slow

package integration

import (
	"fmt"
	"testing"
	"time"
)

func TestFleetForAnHour(t *testing.T) { fleet(t, 20, time.Hour) }

func TestThousandStrangers(t *testing.T) { strangersFlood(t, 1000) }

func TestTwoHundredStrangersAmongMembers(t *testing.T) { amongStrangers(t, 200) }

// TestIdleBudgets: at most a mebibyte an hour for each of twenty, and no more for each of two hundred.
func TestIdleBudgets(t *testing.T) {
	for _, members := range []int{20, 200} {
		t.Run(fmt.Sprint(members), func(t *testing.T) { idleWithin(t, members, 1<<20) })
	}
}

// TestHundreds: everybody reaches the controller and stays connected with it. The race detector would need more memory for
// the larger fleets than a machine of 24 GiB has.
func TestHundreds(t *testing.T) {
	sizes := []int{300, 1000}
	if raceDetector {
		sizes = []int{100}
	}
	for _, workers := range sizes {
		t.Run(fmt.Sprint(workers), func(t *testing.T) { crowd(t, workers, time.Hour) })
	}
}
