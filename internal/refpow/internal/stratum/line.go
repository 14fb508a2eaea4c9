// Package stratum holds what the two sides of the stratum v1 mining protocol share: lines of JSON,
// jobs, and the arithmetic of Bitcoin's proof of work. The miner is in package refpow, the pool in
// refpow/pool.
//
//	c := stratum.NewConn(netConn)
//	err := c.Call(1, "mining.subscribe", "refpow/1.0")
//	msg, err := c.Read()
//	…
//	h := job.Header(extranonce1, extranonce2)
//	if hash := h.Hash(nonce); stratum.TargetOf(difficulty).Met(hash) { … }
//
// Pools were written by many hands, so what they send is read as far as it makes sense: a number may
// come as text, a list as an object. What makes none is an ErrLine, after which reading goes on.
package stratum

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxLine bounds a line in bytes. A job with a full set of branches takes a few thousand.
	MaxLine = 256 << 10
	// writeTime is how long a line may take to be taken by the other side.
	writeTime = 10 * time.Second
)

var (
	// ErrLine says that a line was too long or no message. The lines after it can be read.
	ErrLine = errors.New("bad stratum line")
	// ErrEnded says that the other side has closed the connection.
	ErrEnded = errors.New("the connection was closed at the other end")
)

// Conn carries messages. Reading is for one goroutine, writing for any number.
type Conn struct {
	conn  net.Conn
	frame framer
	chunk []byte
	mu    sync.Mutex // guards writes
}

// NewConn makes a Conn of a connection, which the caller closes.
func NewConn(c net.Conn) *Conn { return &Conn{conn: c, chunk: make([]byte, 4<<10)} }

// Read returns the next message; idle bounds the wait for it. After an ErrLine, and after the time
// was over, it may be called again.
func (c *Conn) Read(idle time.Duration) (Message, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return Message{}, err
	}
	for {
		if m, err, ok := c.frame.next(); ok {
			return m, err
		}
		n, err := c.conn.Read(c.chunk)
		c.frame.feed(c.chunk[:n])
		switch {
		case n > 0: // an error comes again
		case errors.Is(err, io.EOF):
			return Message{}, ErrEnded
		case err != nil:
			return Message{}, fmt.Errorf("read: %w", err)
		}
	}
}

// Call sends a request. ID 0 makes it a notice, which has no answer.
func (c *Conn) Call(id int, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	m := map[string]any{"id": nil, "method": method, "params": params}
	if id != 0 {
		m["id"] = id
	}
	return c.write(m)
}

// Answer sends the answer to the request with that ID. A nil failure means success.
func (c *Conn) Answer(id jsontext.Value, result any, failure any) error {
	return c.write(map[string]any{"id": id, "result": result, "error": failure})
}

func (c *Conn) write(v any) error {
	line, err := json.Marshal(v, lenient)
	if err != nil {
		return fmt.Errorf("encode stratum message: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = c.conn.Write(append(line, '\n'))
	return err
}
