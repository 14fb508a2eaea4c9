package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// askFrom is the size of a bundle, in bytes, from which on the worker is asked first what it has of
// it: what a smaller one takes is sent again sooner.
const askFrom = 1 << 20

// Sending is told how a deployment to one worker gets on. When the connection is lost, it goes on
// over the next one, and sends what the worker does not have: see [streams.Resumption]. A nil
// function is not called.
type Sending struct {
	streams.Resumption
	// Progress is called as bytes leave, in one goroutine. It goes back where bytes are sent again.
	Progress func(sent, total int64)
	// Via, if set, returns the client for the next attempt, or nil for that which was given to Send.
	Via func() *streams.Client
	// Resent is told how many bytes that left before are sent again, before Back is called.
	Resent func(bytes int64)
	// Transfer names the deployment that goes on, as the worker knows it; empty for one that begins.
	Transfer string
}

// Send deploys a bundle to one worker. One that has the release already asks for none of it. A Bundle
// may be sent to several workers at once.
func (s Sending) Send(ctx context.Context, c *streams.Client, worker peer.ID, b *Bundle) (Ack, error) {
	x := sending{
		Sending: s, client: c, worker: worker, bundle: b, transfer: cmp.Or(s.Transfer, rand.Text()), size: b.Manifest.Size(), begun: -1,
	}
	x.ask = x.size >= askFrom || s.Begun && x.size > 0
	err := s.Do(ctx, c, worker, x.attempt)
	if x.ack.State == StateDeployed && x.begun >= 0 {
		x.ack.Bytes = x.size - x.begun
	}
	return x.ack, err
}

// sending is one deployment to one worker.
type sending struct {
	Sending
	client   *streams.Client
	worker   peer.ID
	bundle   *Bundle
	transfer string
	size     int64

	ask   bool            // the worker may have some of it
	old   bool            // the worker is of a version that keeps nothing
	begun int64           // where the first upload began, -1 before
	sent  int64           // up to where bytes have left
	ack   Ack             // the last one
	via   *streams.Client // of this attempt
}

// attempt sends what the worker does not have.
func (x *sending) attempt(ctx context.Context, goesOn func()) (err error) {
	x.via = x.client
	if x.Via != nil {
		x.via = cmp.Or(x.Via(), x.client)
	}
	from := int64(0)
	if x.ask && !x.old {
		if from, err = x.staged(ctx); err != nil || x.ack.Success {
			return err
		}
	}
	x.ask = x.size > 0
	if x.begun < 0 {
		x.begun = from
	}
	if from < x.sent && x.Resent != nil {
		x.Resent(x.sent - from)
	}
	body := x.bundle.bodyFrom(from)
	defer body.Close()
	x.ack, err = x.upload(ctx, from, &counted{Reader: body, sent: from, total: x.size, tell: func(sent, total int64) {
		x.sent = max(x.sent, sent)
		goesOn()
		if x.Progress != nil {
			x.Progress(sent, total)
		}
	}})
	if err == nil && !x.ack.Success { // somebody else's upload of the same came between
		return streams.Errorf(streams.CodeUnavailable, "the machine has %d bytes by now, not %d", x.ack.Staged, from)
	}
	return err
}

// staged returns how much of the bundle the worker has. It puts in place what it has all of.
func (x *sending) staged(ctx context.Context) (int64, error) {
	ack, err := x.upload(ctx, x.size, eof{})
	if errors.Is(err, streams.ErrInvalid) {
		x.old = true
		return 0, nil
	}
	x.ack = ack
	return ack.Staged, err
}

// upload sends what is in the bundle from an offset on.
func (x *sending) upload(ctx context.Context, from int64, body io.Reader) (Ack, error) {
	req := Request{Manifest: x.bundle.Manifest, From: from, Size: x.size - from, Transfer: x.transfer}
	return Deploy.Do(ctx, x.via, x.worker, req, body)
}

// eof is a body of nothing.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// counted reports how far a reader has been read.
type counted struct {
	io.Reader
	sent, total int64
	tell        func(sent, total int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.sent += int64(n)
	if n > 0 {
		c.tell(c.sent, c.total)
	}
	return n, err
}
