package logs

import (
	"errors"
	"os"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	// lookEvery is how often a log of another process is looked at while somebody waits for a change.
	lookEvery = 100 * time.Millisecond
	// waitTime is how long that goes on for one who waits: nobody says when he has stopped to. After it
	// he is woken in any case.
	waitTime = 5 * time.Second
)

// Beside opens the log in dir to be read while another process writes it, or will: what that one has
// written by then is seen by each call. There need not be a log yet. Close ends what looks for changes.
func Beside(dir string) *Log {
	l := &Log{dir: dir, cfg: Config{}.withDefaults(), segments: []segment{{}}, live: &live{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	return l
}

// live is what a log has beside that is written by another process. It is guarded by the log's mu.
type live struct {
	seen    int64   // the furthest end seen
	last    segment // the last segment when it was looked at
	whole   int64   // the size of the whole lines in it
	waiting []waiter
	quit    chan struct{} // closed by Close to end the goroutine that looks; nil when there is none
	ended   chan struct{} // closed when that has ended
	closed  bool
}

// waiter is one who waits for something to read from offset on.
type waiter struct {
	offset  int64
	changed chan struct{}
	until   time.Time
}

// refresh reads what segments there are by now. It needs mu.
func (l *Log) refresh() {
	found, err := listSegments(l.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return // what was there counts on; who reads is told
	}
	v := l.live
	if len(found) == 0 { // not there yet, or taken away: what is written next begins where it would have
		l.segments = []segment{{base: v.seen}}
		return
	}
	last := &found[len(found)-1]
	if *last != v.last {
		before := v.last.base + v.whole
		v.last, v.whole = *last, l.wholeLines(*last)
		if end := last.base + v.whole; end > v.seen || end > before && before < v.seen {
			v.seen = end // in the second case somebody has cut it, and it is written from there
		}
	}
	last.size = v.whole
	l.segments = found
}

// wholeLines returns the size of the whole lines in a segment that is written meanwhile.
func (l *Log) wholeLines(s segment) int64 {
	f, err := durable.Open(l.path(s))
	if err != nil {
		return 0
	}
	defer f.Close()
	size, err := lineStartBefore(f, s.size)
	if err != nil {
		return 0
	}
	return size
}

// changedBeside is Changed for a log of another process. It needs mu.
func (l *Log) changedBeside(offset int64) <-chan struct{} {
	l.refresh()
	v := l.live
	w := waiter{offset, make(chan struct{}), time.Now().Add(waitTime)}
	if v.closed || v.seen > offset {
		close(w.changed)
		return w.changed
	}
	v.waiting = append(v.waiting, w)
	if v.quit == nil {
		v.quit, v.ended = make(chan struct{}), make(chan struct{})
		go l.look(v.quit, v.ended)
	}
	return w.changed
}

// look looks for changes as long as somebody waits for them.
func (l *Log) look(quit <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for l.lookOnce() {
		select {
		case <-tick.C:
		case <-quit:
			return
		}
	}
}

// lookOnce wakes those for whom there is something, and reports whether others still wait.
func (l *Log) lookOnce() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	v, now := l.live, time.Now()
	var wait []waiter
	for _, w := range v.waiting {
		if v.closed || v.seen > w.offset || now.After(w.until) {
			close(w.changed)
		} else {
			wait = append(wait, w)
		}
	}
	v.waiting = wait
	if len(wait) == 0 {
		v.quit = nil
	}
	return len(wait) > 0
}

// closeBeside is Close for a log of another process.
func (l *Log) closeBeside() {
	l.mu.Lock()
	v := l.live
	v.closed = true
	for _, w := range v.waiting {
		close(w.changed)
	}
	v.waiting = nil
	if v.quit != nil {
		close(v.quit)
		v.quit = nil
	}
	ended := v.ended
	l.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
