// Package clock judges this machine's own clock by the date of the program: no clock that is right
// says that it is earlier.
package clock

import (
	"fmt"
	"runtime/debug"
	"time"
)

// noClockBefore is older than this program: it counts where the build does not say of when it is.
const noClockBefore = "2026-11-01T00:00:00Z"

// Fault says in one line why this machine's clock, which says now, cannot be right, and what to do;
// it returns nothing for one that may be. Nothing is refused for it: a machine that has just got
// its power back needs others to get the time.
func Fault(now time.Time) string {
	made := earliestClock()
	if !now.Before(made) {
		return ""
	}
	return fmt.Sprintf("the clock of this machine cannot be right: it says %s, and this program was made after %s; set it, "+
		"or have it set by the network (timedatectl set-ntp true)", Text(now), Text(made))
}

// earliestClock is before any time at which this program can run.
func earliestClock() time.Time {
	if at := Built(); !at.IsZero() {
		return at
	}
	at, _ := time.Parse(time.RFC3339, noClockBefore)
	return at
}

// Text returns a time as people read it, in UTC.
func Text(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

// MadeOrLater is now, or the program's own date where this machine's clock cannot be right: what is
// signed in 1970 has ended long ago for everybody else. Where the build does not tell its date,
// that counts for a clock that was never set only: simulated networks begin in 2000.
func MadeOrLater(now time.Time) time.Time {
	made := Built()
	if made.IsZero() && now.UTC().Year() < 2000 {
		made = earliestClock()
	}
	if now.Before(made) {
		return made
	}
	return now
}

// Built is when the program's source was committed, or zero when it does not say.
func Built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, err := time.Parse(time.RFC3339, s.Value)
			if err == nil {
				return at
			}
		}
	}
	return time.Time{}
}
