package agent

import "sync"

const defaultFanOut = 64

// fanOut runs functions at the same time, but no more than so many.
type fanOut struct {
	running sync.WaitGroup
	slots   chan struct{}
}

func newFanOut(most int) *fanOut { return &fanOut{slots: make(chan struct{}, most)} }

// do runs fn when its turn comes, and does not wait for that.
func (f *fanOut) do(fn func()) {
	f.running.Go(func() {
		f.slots <- struct{}{}
		defer func() { <-f.slots }()
		fn()
	})
}

// wait returns when all functions have.
func (f *fanOut) wait() { f.running.Wait() }
