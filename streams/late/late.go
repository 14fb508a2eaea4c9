// Package late tells that an answer is late, again and again until it is there.
package late

import (
	"sync/atomic"
	"time"
)

// An answer is late after first, and is told to be so again after twice as long each time, up to
// most: a request may take minutes, and its connection be lost meanwhile.
const (
	first = 200 * time.Millisecond
	most  = 8 * time.Second
)

// Answer is one that is awaited at a time. Its zero value is ready once Tell is set.
type Answer struct {
	Tell func() // is called when it is late; it must not block

	timer *time.Timer // made with the first request, as one for each would cost an allocation
	on    atomic.Bool
	told  atomic.Int32 // how often, for this request
}

// Expect begins to wait for an answer.
func (l *Answer) Expect() {
	l.told.Store(0)
	l.on.Store(true)
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Hour, l.late)
	}
	l.timer.Reset(first)
}

func (l *Answer) late() {
	if !l.on.Load() {
		return
	}
	wait := min(first<<min(l.told.Add(1), 16), most)
	l.Tell()
	l.timer.Reset(wait)
	if !l.on.Load() {
		l.timer.Stop()
	}
}

// Answered ends the wait, and reports whether the answer was late.
func (l *Answer) Answered() bool {
	l.on.Store(false)
	l.timer.Stop()
	return l.told.Load() > 0
}
