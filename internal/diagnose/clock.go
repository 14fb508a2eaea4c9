package diagnose

import (
	"fmt"
	"time"

	"github.com/seed-b490fa12/swarm/internal/clock"
)

const (
	clockWorth  = 5 * time.Second  // of a difference that is worth a word
	clockTooFar = 10 * time.Minute // of one by which something will be judged wrongly
)

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

// addClock compares a machine's clock, which is ahead of ours by so much, with ours, which says
// now. Which of the two is wrong nobody can tell but where ours cannot be right.
func (d *Diagnosis) addClock(name string, ahead time.Duration, now time.Time) {
	if ahead.Abs() <= clockWorth {
		d.add("clock", LevelOK, "as here", "")
		return
	}
	level := LevelWarn
	if ahead.Abs() > clockTooFar {
		level = LevelFail
	}
	text := fmt.Sprintf("the clocks differ by %s: that of %s is %s, at %s",
		span(ahead), name, sideOf(ahead), clock.Text(now.Add(ahead)))
	next := fmt.Sprintf("set the clock of %s, or that of this machine, which says %s; grants and messages are judged by them", name, clock.Text(now))
	if clock.Fault(now) != "" {
		next = "set the clock of this machine"
	} else if clock.Fault(now.Add(ahead)) != "" {
		next = fmt.Sprintf("set the clock of %s: it cannot be right, this program is newer", name)
	}
	d.addCode(CodeClock, "clock", level, text, next)
}
