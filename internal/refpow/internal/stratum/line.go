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
package stratum

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxLine bounds a line in bytes. A job with a full set of branches takes a few thousand.
	MaxLine = 64 << 10
	// writeTime is how long a line may take to be taken by the other side.
	writeTime = 10 * time.Second
)

// ErrLine says that a line was too long or no message.
var ErrLine = errors.New("bad stratum line")

// Message is a request (Method is set), a notice (a request without ID), or an answer.
type Message struct {
	ID     jsontext.Value `json:"id"`
	Method string         `json:"method,omitzero"`
	Params jsontext.Value `json:"params,omitzero"`
	Result jsontext.Value `json:"result,omitzero"`
	Error  jsontext.Value `json:"error,omitzero"`
}

// Parse reads one line.
func Parse(line []byte) (Message, error) {
	var m Message
	if err := json.Unmarshal(line, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrLine, err)
	}
	return m, nil
}

// Args reads the parameters into as many values; further ones are ignored, missing ones are an
// error.
func (m Message) Args(into ...any) error {
	var params []jsontext.Value
	if err := json.Unmarshal(m.Params, &params); err != nil {
		return fmt.Errorf("%w: parameters of %.40q: %w", ErrLine, m.Method, err)
	}
	return unpack(params, into)
}

// Results reads a result that is a list, like Args.
func (m Message) Results(into ...any) error {
	var list []jsontext.Value
	if err := json.Unmarshal(m.Result, &list); err != nil {
		return fmt.Errorf("%w: result: %w", ErrLine, err)
	}
	return unpack(list, into)
}

func unpack(values []jsontext.Value, into []any) error {
	if len(values) < len(into) {
		return fmt.Errorf("%w: %d values, need %d", ErrLine, len(values), len(into))
	}
	for i, v := range into {
		if err := json.Unmarshal(values[i], v); err != nil {
			return fmt.Errorf("%w: value %d: %w", ErrLine, i, err)
		}
	}
	return nil
}

// Conn carries messages. Reading is for one goroutine, writing for any number.
type Conn struct {
	conn net.Conn
	scan *bufio.Scanner
	mu   sync.Mutex // guards writes
}

// NewConn makes a Conn of a connection, which the caller closes.
func NewConn(c net.Conn) *Conn {
	scan := bufio.NewScanner(c)
	scan.Buffer(make([]byte, 0, 4<<10), MaxLine)
	return &Conn{conn: c, scan: scan}
}

// Read returns the next message; idle bounds the wait for it.
func (c *Conn) Read(idle time.Duration) (Message, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return Message{}, err
	}
	if !c.scan.Scan() {
		if err := c.scan.Err(); err != nil {
			return Message{}, fmt.Errorf("read: %w", err)
		}
		return Message{}, net.ErrClosed
	}
	return Parse(c.scan.Bytes())
}

// Call sends a request. ID 0 makes it a notice, which has no answer.
func (c *Conn) Call(id int, method string, params ...any) error {
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
	line, err := json.Marshal(v)
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
