package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Kind says what an entry is about. Packages may use kinds of their own.
type Kind string

// Kinds of entries.
const (
	KindCommand Kind = "command"  // a request with an effect: before it, and again with its result
	KindLogRead Kind = "log_read" // logs were read
	KindTrust   Kind = "trust"    // a right was given, used to join, renewed or revoked
	KindPolicy  Kind = "policy"   // the owner's policy was read
	KindStart   Kind = "start"    // the worker started
	KindStop    Kind = "stop"     // the worker stopped
	KindRunEnd  Kind = "run_end"  // a command that a peer had run has ended
	// KindShellEnd is of a login shell of a peer that has ended.
	KindShellEnd Kind = "shell_end"
	// KindForwardEnd is of a connection that was carried for a peer and has ended.
	KindForwardEnd Kind = "forward_end"
	// KindCopyEnd is of a session in which a peer copied from or to this machine, and which has ended.
	KindCopyEnd Kind = "cp_end"
	// KindPowerFail: the machine was to be rebooted or shut down, and was not.
	KindPowerFail Kind = "power_fail"
)

// Kinds that only the log itself writes.
const (
	KindAnchor Kind = "anchor" // the first entry of each segment
	KindRepair Kind = "repair" // a torn last line was cut off
	KindDamage Kind = "damage" // damaged entries were found, and left as they are
)

// ResultBegun is the result of an entry that was written before its effect.
const ResultBegun = "begun"

// Limits of an entry, in bytes.
const (
	MaxWord    = 128  // each of Kind, Peer, Name, Verb, Type, ID and Result
	MaxSummary = 1024 // Summary
	MaxLine    = 16 << 10
)

// Entry is one thing that happened. Seq, Prev and Hash are set by the log.
type Entry struct {
	Seq  uint64 `json:"seq"`  // 1 for the first entry ever
	Time int64  `json:"time"` // Unix milliseconds; 0 means now
	Kind Kind   `json:"kind"` // what it is about
	// Peer is the peer ID of who did it; empty for the machine itself.
	Peer string `json:"peer,omitzero"`
	Name string `json:"name,omitzero"` // its name in the fleet
	Verb string `json:"verb,omitzero"` // the right it used
	Type string `json:"type,omitzero"` // the message type
	// ID is the message's, by which a result is matched to its beginning.
	ID      string `json:"id,omitzero"`
	Summary string `json:"summary,omitzero"` // what was asked, in words that hold no secret
	Result  string `json:"result,omitzero"`  // ResultBegun, or how it ended
	Prev    string `json:"prev"`             // the hash of the entry before; empty in the first
	// Hash is the SHA-256 of the line up to here, in hex; always the last member.
	Hash string `json:"hash,omitzero"`
}

// Text is the entry in a line for people.
func (e Entry) Text() string {
	who := cmp.Or(e.Name, e.Peer, "this machine")
	what := cmp.Or(e.Type, string(e.Kind))
	text := fmt.Sprintf("%s %s: %s", time.UnixMilli(e.Time).UTC().Format(time.DateTime), who, what)
	if e.Summary != "" {
		text += " " + e.Summary
	}
	if e.Result != "" {
		text += " (" + e.Result + ")"
	}
	return text
}

// Head is the end of a chain: how many entries there ever were, and the hash of the last one. Its
// zero value is the head of a log that is empty. Who remembers one can later tell that the chain
// still holds it.
type Head struct {
	Count uint64 `json:"count"`
	Hash  string `json:"hash"`
}

// validate tells what is wrong with an entry of a caller.
func (e Entry) validate() error {
	switch e.Kind {
	case "", KindAnchor, KindRepair, KindDamage:
		return fmt.Errorf("%w: kind %q", ErrInvalid, e.Kind)
	}
	if e.Time < 0 {
		return fmt.Errorf("%w: time %d", ErrInvalid, e.Time)
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"kind", string(e.Kind), MaxWord},
		{"peer", e.Peer, MaxWord},
		{"name", e.Name, MaxWord},
		{"verb", e.Verb, MaxWord},
		{"type", e.Type, MaxWord},
		{"id", e.ID, MaxWord},
		{"result", e.Result, MaxWord},
		{"summary", e.Summary, MaxSummary},
	} {
		if len(f.value) > f.limit || !utf8.ValidString(f.value) {
			return fmt.Errorf("%w: %s: need UTF-8 of at most %d bytes", ErrInvalid, f.name, f.limit)
		}
	}
	return nil
}

// The hash stands at the end of a line, so that it can cover the very bytes before it and nothing
// depends on how JSON is written.
const (
	hashOpen  = `,"hash":"`
	hashClose = `"}`
	hashTail  = len(hashOpen) + 2*sha256.Size + len(hashClose)
)

// hashOf is the hash of a line whose bytes before its hash are body. The domain keeps it apart from
// every other use of SHA-256.
func hashOf(body []byte) string {
	h := sha256.New()
	h.Write([]byte("swarm audit 1\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// seal makes e the entry after head, and returns it with its line, which ends in a newline.
func seal(e Entry, head Head) (Entry, []byte, error) {
	e.Seq, e.Prev, e.Hash = head.Count+1, head.Hash, ""
	text, err := json.Marshal(e)
	if err != nil {
		return e, nil, fmt.Errorf("encode audit entry: %w", err)
	}
	body := text[:len(text)-1]
	e.Hash = hashOf(body)
	return e, append(body, hashOpen+e.Hash+hashClose+"\n"...), nil
}

// unseal reads a line without its newline, and checks its hash.
func unseal(line []byte) (Entry, error) {
	at := len(line) - hashTail
	if at < 0 || len(line) > MaxLine {
		return Entry{}, errors.New("it is no entry")
	}
	body, tail := line[:at], line[at:]
	if want := hashOpen + hashOf(body) + hashClose; !bytes.Equal(tail, []byte(want)) {
		return Entry{}, errors.New("its hash does not fit its content")
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("it is no entry: %w", err)
	}
	return e, nil
}
