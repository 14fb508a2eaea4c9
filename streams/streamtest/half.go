package streamtest

import (
	"io"
	"os"
	"sync"
	"time"
)

// window is how many bytes may be on their way in one direction of a stream, as with yamux before
// it grows.
const window = 256 << 10

// half is one direction of a stream.
type half struct {
	mu        sync.Mutex
	changed   chan struct{} // closed, and replaced, at each change of what follows
	buf       []byte
	ended     bool  // the writer closed its side
	unwanted  bool  // the reader closed its side
	readErr   error // set by a reset
	writeErr  error // set by a reset
	readTill  time.Time
	writeTill time.Time
}

func newHalf() *half { return &half{changed: make(chan struct{})} }

// change runs f and wakes those who wait.
func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.wake()
}

func (h *half) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait unlocks h until something changed or the deadline has come.
func (h *half) wait(deadline time.Time) {
	changed := h.changed
	h.mu.Unlock()
	defer h.mu.Lock()
	if deadline.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func over(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readErr != nil:
			return 0, h.readErr
		case h.unwanted:
			return 0, io.ErrClosedPipe
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = h.buf[n:]
			h.wake()
			return n, nil
		case h.ended:
			return 0, io.EOF
		case over(h.readTill):
			return 0, os.ErrDeadlineExceeded
		}
		h.wait(h.readTill)
	}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writeErr != nil:
			return n, h.writeErr
		case h.ended:
			return n, io.ErrClosedPipe
		case over(h.writeTill):
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		case h.unwanted:
			return len(p), nil // as with yamux, which has no message for it
		}
		if room := min(window-len(h.buf), len(p)-n); room > 0 {
			h.buf = append(h.buf, p[n:n+room]...)
			n += room
			h.wake()
			continue
		}
		h.wait(h.writeTill)
	}
}

// reset ends the direction at both ends; what was not read is lost.
func (h *half) reset(readErr, writeErr error) {
	h.change(func() {
		if h.readErr == nil {
			h.readErr, h.writeErr, h.buf = readErr, writeErr, nil
		}
	})
}
