package streams

import (
	"sync/atomic"
	"time"
)

// An answer is late after lateFirst, and is told to be so again after twice as long each time, up to
// lateMost: a request may take minutes, and its connection be lost meanwhile.
const (
	lateFirst = 200 * time.Millisecond
	lateMost  = 8 * time.Second
)

// lateness tells that the answer on one stream is late, again and again until it is there.
type lateness struct {
	tell  func()
	timer *time.Timer // made with the first request, as one for each would cost an allocation
	on    atomic.Bool
	told  atomic.Int32 // how often, for this request
}

// expect begins to wait for an answer.
func (l *lateness) expect() {
	l.told.Store(0)
	l.on.Store(true)
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Hour, l.late)
	}
	l.timer.Reset(lateFirst)
}

func (l *lateness) late() {
	if !l.on.Load() {
		return
	}
	wait := min(lateFirst<<min(l.told.Add(1), 16), lateMost)
	l.tell()
	l.timer.Reset(wait)
	if !l.on.Load() {
		l.timer.Stop()
	}
}

// answered ends the wait, and reports whether the answer was late.
func (l *lateness) answered() bool {
	l.on.Store(false)
	l.timer.Stop()
	return l.told.Load() > 0
}
