package liveness

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Where many are silent at once it is our own link that is full: so many peers are looked for
// elsewhere at a time, and so many in vain.
const (
	looksAtATime = 4
	vain         = 4
	vainAgain    = 4 * time.Second // until one more may be
	freeFor      = 5 * time.Second // after a relay was found: those behind it are, once they are back there
)

// looks bounds how often peers are looked for elsewhere. The zero value is ready.
type looks struct {
	mu        sync.Mutex // guards what follows
	running   int
	limit     *rate.Limiter // of those in vain
	freeUntil time.Time
}

// try calls look, unless that would be one too many.
func (l *looks) try(ctx context.Context, look func(context.Context) bool) (found, tried bool) {
	if !l.begin() {
		return false, false
	}
	found = look(ctx)
	l.end(found)
	return found, true
}

func (l *looks) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit == nil {
		l.limit = rate.NewLimiter(rate.Every(vainAgain), vain)
	}
	if l.running >= looksAtATime || !l.isFree() && l.limit.Tokens() < float64(l.running+1) {
		return false
	}
	l.running++
	return true
}

func (l *looks) end(found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if !found && !l.isFree() {
		l.limit.Allow()
	}
}

// free counts none in vain for a while: something was found, so the link is not full.
func (l *looks) free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.freeUntil = time.Now().Add(freeFor)
}

func (l *looks) isFree() bool { return time.Now().Before(l.freeUntil) }
