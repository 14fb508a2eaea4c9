package run

import (
	"errors"
	"os"
	"sync"
)

// What is read ahead of a terminal: from highWater bytes on its programs wait, and go on below lowWater.
// Beyond mostAhead they do not wait as they should.
const (
	highWater = 32 << 10
	lowWater  = 8 << 10
	mostAhead = 1 << 20
)

// ahead reads a terminal as fast as it is printed to, and has its programs wait where that is too fast: when
// the first one of them ends, the system drops what nobody has read by then.
type ahead struct {
	*os.File
	hold func(yes bool) // has the programs wait

	mu   sync.Mutex
	more *sync.Cond // over mu: there is something
	data []byte     // guarded by mu
	held bool       // guarded by mu
	err  error      // guarded by mu: behind data
}

func newAhead(f *os.File, hold func(bool)) *ahead {
	a := &ahead{File: f, hold: hold}
	a.more = sync.NewCond(&a.mu)
	return a
}

// fill reads to the end.
func (a *ahead) fill() {
	buf := make([]byte, 8<<10)
	for {
		n, err := a.File.Read(buf)
		if a.add(buf[:n], err) != nil {
			return
		}
	}
}

func (a *ahead) add(data []byte, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data = append(a.data, data...)
	if err == nil && len(a.data) > mostAhead {
		err = errors.New("the terminal does not wait for its reader")
	}
	a.err = err
	if !a.held && len(a.data) >= highWater {
		a.held = true
		a.hold(true)
	}
	a.more.Signal()
	return err
}

// Read reads what is there, or waits for it.
func (a *ahead) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.data) == 0 && a.err == nil {
		a.more.Wait()
	}
	if len(a.data) == 0 {
		return 0, a.err
	}
	n := copy(p, a.data)
	a.data = append(a.data[:0], a.data[n:]...)
	if a.held && len(a.data) < lowWater {
		a.held = false
		a.hold(false)
	}
	return n, nil
}
