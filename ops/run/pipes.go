package run

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

// drainTime is how long the pipes are read on after the command and all that it started have ended, in
// case something that was not found still holds them.
const drainTime = time.Second

// source is what a command's output is read from.
type source interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// output sends what a command prints, as far as the asker deals with it.
type output struct {
	ctx    context.Context // ends with the asker
	cancel context.CancelCauseFunc
	send1  func(Output) error

	sending sync.Mutex // of two items one waits

	mu    sync.Mutex
	moved chan struct{} // guarded by mu: closed, and replaced, when dealt grows
	sent  int64         // guarded by mu: bytes of both streams
	dealt int64         // guarded by mu: of these, those that the asker has dealt with
	bytes [2]int64      // guarded by mu: sent of each stream
	err   error         // guarded by mu: the first fault of reading
}

func newOutput(ctx context.Context, send func(Output) error) *output {
	o := &output{send1: send, moved: make(chan struct{})}
	o.ctx, o.cancel = context.WithCancelCause(ctx)
	return o
}

// send sends one item.
func (o *output) send(item Output) error {
	o.sending.Lock()
	defer o.sending.Unlock()
	if o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	err := o.send1(item)
	if err != nil {
		o.cancel(err)
	}
	return err
}

// copy sends what is printed to one stream, until its end.
func (o *output) copy(s Stream, from source, ended <-chan struct{}) {
	stop := context.AfterFunc(o.ctx, func() { from.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	drained := make(chan struct{})
	defer close(drained)
	go func() { // wakes a read that nothing will end
		select {
		case <-ended:
			if o.ctx.Err() == nil {
				from.SetReadDeadline(time.Now().Add(drainTime))
			}
		case <-drained:
		}
	}()
	buf := make([]byte, MaxData/2)
	for {
		room := o.room(len(buf))
		if room == 0 {
			return
		}
		select {
		case <-ended:
			if o.ctx.Err() != nil {
				return
			}
			from.SetReadDeadline(time.Now().Add(drainTime)) // the asker may have been slow
		default:
		}
		n, err := from.Read(buf[:room])
		o.give(room - n)
		if n > 0 && o.print(s, buf[:n]) != nil {
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, os.ErrDeadlineExceeded), o.ctx.Err() != nil,
			errors.Is(err, syscall.EIO): // the end of a terminal
			return
		default:
			o.mu.Lock()
			o.err = err
			o.mu.Unlock()
			return
		}
	}
}

// room waits until there may be more under way and takes up to n bytes of that; 0 when the asker is
// gone.
func (o *output) room(n int) int {
	for {
		o.mu.Lock()
		room, moved := int(min(OutputWindow-(o.sent-o.dealt), int64(n))), o.moved
		if room > 0 {
			o.sent += int64(room)
			o.mu.Unlock()
			return room
		}
		o.mu.Unlock()
		select {
		case <-moved:
		case <-o.ctx.Done():
			return 0
		}
	}
}

// give takes room back that was not used.
func (o *output) give(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent -= int64(n)
	o.wake()
}

// wake wakes those who wait for room; o.mu is held.
func (o *output) wake() {
	close(o.moved)
	o.moved = make(chan struct{})
}

// print sends bytes of a stream.
func (o *output) print(s Stream, data []byte) error {
	i := 0
	if s == Stderr {
		i = 1
	}
	o.mu.Lock()
	offset := o.bytes[i]
	o.bytes[i] += int64(len(data))
	o.mu.Unlock()
	return o.send(Output{Stream: s, Offset: offset, Data: data})
}

// dealtWith takes note of how many bytes the asker has dealt with so far; 0 says nothing.
func (o *output) dealtWith(n int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n > o.bytes[0]+o.bytes[1] {
		return streams.Errorf(streams.CodeInvalid, "taken: %d bytes, and %d were sent", n, o.bytes[0]+o.bytes[1])
	}
	if n > o.dealt {
		o.dealt = n
		o.wake()
	}
	return nil
}

// tookInput tells how many bytes of input were taken so far.
func (o *output) tookInput(n int64) { o.send(Output{Taken: n}) }

// counts returns how many bytes were printed to each stream.
func (o *output) counts() (stdout, stderr int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes[0], o.bytes[1]
}

// fault returns why the output is not complete, if it is not.
func (o *output) fault() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// stdin writes what is put in, and keeps what the command has not taken yet.
type stdin struct {
	pipe *os.File
	keep bool // the pipe is a terminal, whose end is none of the input
	took func(n int64)

	mu      sync.Mutex
	waiting []byte        // guarded by mu
	taken   int64         // guarded by mu
	over    bool          // guarded by mu: no more comes
	deaf    bool          // guarded by mu: the command takes no more
	more    chan struct{} // has a token when there is something to do
	done    chan struct{} // closed when the writer has ended
	stop    chan struct{} // closed by close
	once    sync.Once
}

func newStdin(pipe *os.File, keep bool, took func(n int64)) *stdin {
	in := &stdin{pipe: pipe, keep: keep, took: took, more: make(chan struct{}, 1), done: make(chan struct{}), stop: make(chan struct{})}
	go in.write()
	return in
}

// add takes further bytes.
func (in *stdin) add(data []byte) error {
	in.mu.Lock()
	if in.over {
		in.mu.Unlock()
		return streams.Errorf(streams.CodeInvalid, "data: the input has ended")
	}
	if len(in.waiting)+len(data) > InputWindow {
		in.mu.Unlock()
		return streams.Errorf(streams.CodeTooLarge, "data: more than %d bytes of input wait to be taken", InputWindow)
	}
	in.waiting = append(in.waiting, data...)
	in.mu.Unlock()
	in.tell()
	return nil
}

// end says that no more comes.
func (in *stdin) end() {
	in.mu.Lock()
	in.over = true
	in.mu.Unlock()
	in.tell()
}

func (in *stdin) tell() {
	select {
	case in.more <- struct{}{}:
	default:
	}
}

// close ends the writer.
func (in *stdin) close() {
	in.once.Do(func() {
		close(in.stop)
		in.pipe.SetWriteDeadline(time.Unix(1, 0))
	})
	<-in.done
}

// write writes to the command until there is no more.
func (in *stdin) write() {
	defer close(in.done)
	for {
		in.mu.Lock()
		data, over := in.waiting, in.over
		if len(data) > MaxData {
			data = data[:MaxData]
		}
		deaf := in.deaf
		in.mu.Unlock()
		if len(data) == 0 {
			if over {
				if !in.keep {
					in.pipe.Close() // the command sees the end
				}
				return
			}
			select {
			case <-in.more:
				continue
			case <-in.stop:
				return
			}
		}
		if !deaf {
			if _, err := in.pipe.Write(data); err != nil {
				deaf = true // it has closed its end: what comes is not wanted, and that is no fault
			}
		}
		in.mu.Lock()
		in.deaf = deaf
		in.waiting = append(in.waiting[:0], in.waiting[len(data):]...)
		in.taken += int64(len(data))
		taken := in.taken
		in.mu.Unlock()
		select {
		case <-in.stop:
			return
		default:
		}
		in.took(taken)
	}
}
