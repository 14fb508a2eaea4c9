// Package brief says in one line for a person why a machine gave no answer. What the libraries said,
// with each address that was tried, is kept as the details of the error.
package brief

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/streams"
)

// Machine is the one that gave no answer.
type Machine struct {
	Peer peer.ID
	Name string    // by which commands know it; empty for its peer ID
	Seen time.Time // when it was there last; zero where nobody knows
}

// closedWords stand before the reason that the machine itself has given.
const closedWords = " closed the connection: "

// details are those of an error that was made short.
type details struct {
	Full string `json:"full"`
}

// Error returns err in one line, with its code and its cause. What the machine itself has answered
// stays as it is.
func Error(m Machine, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	code, full, trace := streams.CodeUnavailable, err.Error(), ""
	if e, ok := errors.AsType[*streams.Error](err); ok {
		code, full, trace = e.Code, e.Message, e.Trace
	} else if !errors.Is(err, host.ErrUnreachable) && kindWords(err) == "" {
		return err
	}
	words := m.words(err, code, full)
	if words == full {
		return err
	}
	short := streams.Errorf(code, "%s%w", words, silent{err})
	short.Trace = trace
	short.Details, _ = json.Marshal(details{cut(full)}, jsontext.AllowInvalidUTF8(true))
	return short
}

// Why says in one line why a machine is away, or gave no answer, and what to do next; empty for nil. It
// stands beside the machine's state, which says since when.
func Why(m Machine, err error) string {
	if err == nil {
		return ""
	}
	full := err.Error()
	if e, ok := errors.AsType[*streams.Error](err); ok {
		full = e.Message
	}
	switch {
	case kindWords(err) != "":
		return kindWords(err) + m.next()
	case strings.Contains(full, closedWords):
		return m.away(err, full) + m.next()
	case streams.CodeOf(err) == streams.CodeTimeout, errors.Is(err, context.DeadlineExceeded):
		return "no answer in time" + m.next()
	case errors.Is(err, host.ErrUnreachable):
		return "none of its addresses answers" + m.next()
	}
	return "the connection was lost" + m.next()
}

// Full returns the details of an error that was made short; empty for any other.
func Full(err error) string {
	e, ok := errors.AsType[*streams.Error](err)
	if !ok || e.Details == nil {
		return ""
	}
	var d details
	if json.Unmarshal(e.Details, &d) != nil {
		return ""
	}
	return d.Full
}

// words are those of an error of a code.
func (m Machine) words(err error, code streams.Code, full string) string {
	switch {
	case errors.Is(err, streams.ErrUnreachable), errors.Is(err, host.ErrUnreachable), kindWords(err) != "":
		return m.away(err, full) + m.next()
	case code == streams.CodeTimeout && strings.HasPrefix(full, "no answer from"):
		return "no answer in time" + m.next()
	}
	return strings.ReplaceAll(full, m.Peer.String(), "the machine")
}

// away says why there is no way to the machine.
func (m Machine) away(err error, full string) string {
	if words := kindWords(err); words != "" {
		return words
	}
	if _, reason, ok := strings.Cut(full, closedWords); ok {
		return "the machine closed the connection: " + reason
	}
	if strings.HasPrefix(full, "lost ") || strings.Contains(full, " without an answer") {
		return "the connection was lost before the answer"
	}
	if m.Seen.IsZero() {
		return "offline: it has never answered here"
	}
	return "offline since " + output.Seconds(max(0, time.Since(m.Seen).Seconds()))
}

// kindWords are those of a reason that is known; empty for any other error.
func kindWords(err error) string {
	if proxy, ok := errors.AsType[*host.ProxyError](err); ok && errors.Is(proxy, host.ErrProxy) {
		return proxy.Error() // with what it said, such as which password it wants
	}
	for _, kind := range []struct {
		err   error
		words string
	}{
		{host.ErrOtherPeer, "another machine answers at its address: one of the two was set up anew or has moved"},
		{host.ErrClocks, "its clock and the one here differ: set them"},
		{host.ErrTurnedAway, "the relay to it does not take this controller for a member"},
		{host.ErrDenied, "not dialled: the settings of this controller forbid its addresses"},
		{host.ErrDeniedNet, "not dialled: the settings of this controller forbid its addresses"},
		{host.ErrOtherNet, "not dialled: the settings of this controller forbid its addresses"},
		{host.ErrNoRoute, "not dialled: this machine has no way to its network"},
		{host.ErrProxy, "the proxy of this machine's network cannot be used"},
		{host.ErrNoAddress, "no address of it is known"},
	} {
		if errors.Is(err, kind.err) {
			return kind.words
		}
	}
	return ""
}

// next is what a person does next.
func (m Machine) next() string {
	if m.Name == "" {
		return "; why: swarm doctor " + m.Peer.String()
	}
	return "; why: swarm doctor " + m.Name
}

// silent keeps an error as a cause, without its text.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// cut keeps details within what an error may have on the wire.
func cut(s string) string {
	const most = streams.MaxErrorMessage / 4 // in JSON a character takes up to six bytes, mostly one
	return s[:min(len(s), most)]
}
