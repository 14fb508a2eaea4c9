package agent

import (
	"fmt"
	"time"
)

const (
	// noClockBefore is older than this program: it counts where the build does not say of when it is.
	noClockBefore = "2026-11-01T00:00:00Z"
	clockWorth    = 5 * time.Second  // of a difference that is worth a word
	clockWarn     = time.Minute      // of one that is named wherever it is seen
	clockTooFar   = 10 * time.Minute // of one by which something will be judged wrongly
	maxClocks     = 16               // machines that are named for their clocks
)

// ClockFault says in one line why this machine's clock, which says now, cannot be right, and what to do; it returns nothing
// for one that may be. Nothing is refused for it: a machine that has just got its power back needs others to get the time.
func ClockFault(now time.Time) string {
	made := earliestClock()
	if !now.Before(made) {
		return ""
	}
	return fmt.Sprintf("the clock of this machine cannot be right: it says %s, and this program was made after %s; set it, "+
		"or have it set by the network (timedatectl set-ntp true)", clockText(now), clockText(made))
}

// earliestClock is before any time at which this program can run.
func earliestClock() time.Time {
	if at := builtAt(); !at.IsZero() {
		return at
	}
	at, _ := time.Parse(time.RFC3339, noClockBefore)
	return at
}

func clockText(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

// madeOrLater is now, or the program's own date where this machine's clock cannot be right: what is signed in 1970 has ended
// long ago for everybody else. Where the build does not tell its date, that counts for a clock that was never set only:
// simulated networks begin in 2000.
func madeOrLater(now time.Time) time.Time {
	made := builtAt()
	if made.IsZero() && now.UTC().Year() < 2000 {
		made = earliestClock()
	}
	if now.Before(made) {
		return made
	}
	return now
}

// span is a length of time in words, in the unit that one would say it in.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	d = d.Abs()
	switch days := int(d.Round(day) / day); {
	case d.Round(time.Second) < 2*time.Minute:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	case d.Round(time.Minute) < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d.Round(time.Hour) < 2*day:
		return fmt.Sprintf("%d h", d.Round(time.Hour)/time.Hour)
	case days < 2*365:
		return fmt.Sprintf("%d days", days)
	default:
		return fmt.Sprintf("%d years", days/365)
	}
}

// sideOf says on which side of ours a clock is.
func sideOf(ahead time.Duration) string {
	if ahead < 0 {
		return "behind"
	}
	return "ahead"
}

// examineClock compares a machine's clock, which is ahead of ours by so much, with ours, which says now. Which of the two is
// wrong nobody can tell but where ours cannot be right.
func examineClock(d *Diagnosis, name string, ahead time.Duration, now time.Time) {
	if ahead.Abs() <= clockWorth {
		d.add("clock", LevelOK, "as here", "")
		return
	}
	level := LevelWarn
	if ahead.Abs() > clockTooFar {
		level = LevelFail
	}
	text := fmt.Sprintf("the clocks differ by %s: that of %s is %s, at %s", span(ahead), name, sideOf(ahead), clockText(now.Add(ahead)))
	next := fmt.Sprintf("set the clock of %s, or that of this machine, which says %s; grants and messages are judged by them", name, clockText(now))
	if ClockFault(now) != "" {
		next = "set the clock of this machine"
	} else if ClockFault(now.Add(ahead)) != "" {
		next = fmt.Sprintf("set the clock of %s: it cannot be right, this program is newer", name)
	}
	d.add("clock", level, text, next)
}

// ClockLine is a machine whose clock is not as ours.
type ClockLine struct {
	Name    string `json:"name"`
	AheadMs int64  `json:"aheadMs"` // negative for one that is behind
}

// otherClocks are connected machines, at most so many, whose clocks differ from ours by more than a minute.
func otherClocks(lines []PeerLine) (out []ClockLine) {
	for _, l := range lines {
		if l.ClockOffsetMs == nil || len(out) >= maxClocks {
			continue
		}
		if ahead := time.Duration(*l.ClockOffsetMs) * time.Millisecond; ahead.Abs() > clockWarn {
			out = append(out, ClockLine{targetOf(l.Member).Label(), *l.ClockOffsetMs})
		}
	}
	return out
}
