package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// MostLocal is how many connections a [Local] has at a time; further ones are reset.
	MostLocal = 256
	// reachWithin is how long the machine may take to be reached, and to connect.
	reachWithin = 30 * time.Second
	// acceptAgain is how long a listener rests that could take no connection, as for want of descriptors.
	acceptAgain = 100 * time.Millisecond
)

// Local passes connections of this machine on.
type Local struct {
	// Dial opens a connection to the target, as Open.Dial does.
	Dial func(ctx context.Context) (*streams.Conn, error)
	// Failed is told of each connection that was taken and could not be passed on, concurrently. Nil is
	// allowed.
	Failed func(error)
}

// Serve takes connections on a TCP listener until ctx ends, which resets them, and closes the listener.
// When it returns, none is left. A machine that cannot be reached is no end: the next connection tries
// again.
func (l Local) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	places := make(chan struct{}, MostLocal)
	for {
		c, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			l.failed(err)
			rest(ctx)
			continue
		}
		near, ok := c.(*net.TCPConn)
		if !ok {
			c.Close()
			return fmt.Errorf("listener on %v: want one of TCP", ln.Addr())
		}
		select {
		case places <- struct{}{}:
			open.Go(func() { l.pass(ctx, near); <-places })
		default:
			refuse(near)
			l.failed(fmt.Errorf("%d connections are open here, and there may be no more", MostLocal))
		}
	}
}

func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(acceptAgain):
	}
}

// pass passes one connection on, to its end.
func (l Local) pass(ctx context.Context, near *net.TCPConn) {
	reaching, enough := context.WithTimeout(ctx, reachWithin)
	far, err := l.Dial(reaching)
	enough()
	if err != nil {
		refuse(near)
		if ctx.Err() == nil {
			l.failed(err)
		}
		return
	}
	carry(ctx, near, far) // how it ends is between the two sides
}

func (l Local) failed(err error) {
	if l.Failed != nil {
		l.Failed(err)
	}
}

// refuse resets a connection, so that nobody takes it for one that had nothing to say.
func refuse(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
