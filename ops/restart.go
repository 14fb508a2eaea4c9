package ops

import "time"

// RestartPolicy says what happens when a workload ends without being asked to: it is started again
// after a pause, and given up when it does that too often.
type RestartPolicy struct {
	Min    time.Duration // the first pause; each further one is twice as long. 0 for 1 s
	Max    time.Duration // the longest pause; 0 for 1 min
	Limit  int           // ends within Window after which it is given up; 0 for 5
	Window time.Duration // also how long it must run for the pauses to begin anew; 0 for 1 min
	Slow   time.Duration // the pause after it was given up, for what may be mended meanwhile; 0 for 10 min
}

func (p RestartPolicy) withDefaults() RestartPolicy {
	if p.Min == 0 {
		p.Min = time.Second
	}
	if p.Max == 0 {
		p.Max = time.Minute
	}
	if p.Limit == 0 {
		p.Limit = 5
	}
	if p.Window == 0 {
		p.Window = time.Minute
	}
	if p.Slow == 0 {
		p.Slow = 10 * time.Minute
	}
	return p
}

// deaths remembers the ends of one workload that nobody asked for.
type deaths struct {
	policy RestartPolicy
	recent []time.Time // within the window
	inARow int         // since it last ran well
}

// add counts an end after running for some time. It returns the pause before the next start, false
// when there shall be none.
func (d *deaths) add(now time.Time, ran time.Duration) (pause time.Duration, again bool) {
	for len(d.recent) > 0 && now.Sub(d.recent[0]) >= d.policy.Window {
		d.recent = d.recent[1:]
	}
	if ran >= d.policy.Window {
		d.inARow = 0
	}
	d.recent = append(d.recent, now)
	d.inARow++
	if len(d.recent) >= d.policy.Limit {
		return 0, false
	}
	pause = d.policy.Max
	if doublings := d.inARow - 1; doublings < 16 {
		pause = min(pause, d.policy.Min<<doublings)
	}
	return pause, true
}
