package book

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Roles of a saved peer that decide how it is reached.
const (
	RoleRelay  = "relay"
	RoleWorker = "worker"
)

// Bounds of the address book.
const (
	MaxEntries    = 10_000
	MaxAddrs      = 16  // first-hand addresses of one peer; more are a mistake or an attack
	maxHints      = 256 // of them known only through discovery
	maxNameLength = 64  // bytes, also of label keys, label values and roles
	maxLabels     = 32
	maxFile       = 16 << 10 // bytes
	maxAnnounced  = 8        // addresses that were passed on: TCP and QUIC at four places
)

// MaxRecord is the longest signed peer record that is kept or passed on, in bytes: one of 16
// addresses through relays has 1,100.
const MaxRecord = 2 << 10

// Entry is a saved peer: not necessarily a member of a fleet.
type Entry struct {
	Peer peer.ID `json:"peer"`
	// Name and Labels are given by the owner of this node, and are what targets are chosen by.
	Name   string            `json:"name,omitzero"`
	Labels map[string]string `json:"labels,omitzero"`
	// Addrs are multiaddrs without /p2p/, the best first; at most 16. They are first-hand: the
	// owner gave them, we were connected there, or the peer itself announced them to us.
	Addrs []string `json:"addrs"`
	// Announced are further addresses from a record that other peers passed on, those with the
	// longest reach first; at most 8.
	Announced []string `json:"told,omitzero"`
	// Record is the peer's newest known signed peer record, a libp2p envelope of at most MaxRecord
	// bytes. It can be passed on. See Hear.
	Record []byte `json:"record,omitzero"`
	// LastSeen is when we were last connected, in Unix milliseconds; 0 is never.
	LastSeen int64 `json:"lastSeen"`
	// Role and ClaimedName are what the peer says about itself: display data.
	Role        string `json:"role,omitzero"`
	ClaimedName string `json:"claimedName,omitzero"`
	// Hint marks a peer that is known only from discovery. The oldest hints make room for new ones;
	// saving a peer without the mark keeps it.
	Hint bool `json:"hint,omitzero"`
}

// AddrInfo returns the peer in libp2p's form, Addrs before Announced. Addresses that cannot be read
// are left out.
func (e Entry) AddrInfo() peer.AddrInfo {
	info := peer.AddrInfo{ID: e.Peer}
	for _, s := range slices.Concat(e.Addrs, e.Announced) {
		if a, err := multiaddr.NewMultiaddr(s); err == nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info
}

// told reports whether others have told of the peer, and nothing is known first-hand.
func (e Entry) told() bool { return e.LastSeen == 0 && len(e.Addrs) == 0 }

// HasAddr reports whether there is any address.
func (e Entry) HasAddr() bool { return len(e.Addrs)+len(e.Announced) > 0 }

// Give adds addresses that the owner has given, after those that are known, as far as there is room
// and they can be kept as text.
func (e *Entry) Give(addrs []multiaddr.Multiaddr) {
	for _, a := range addrs {
		if s := a.String(); len(e.Addrs) < MaxAddrs && route.Legible(a) && !slices.Contains(e.Addrs, s) {
			e.Addrs = append(e.Addrs, s)
		}
	}
}

// Hear takes a signed record of the peer that another one has passed on. The peer has signed it, so
// the messenger does not matter; but it may be stale, or unreachable from here. So it replaces
// older records only, and nothing that is known first-hand. A record that is dated more than a day
// ahead is of a wrong clock, and refused.
func (e *Entry) Hear(record []byte) error {
	if len(record) == 0 || bytes.Equal(record, e.Record) {
		return nil
	}
	if len(record) > MaxRecord {
		return fmt.Errorf("signed peer record: %d bytes, at most %d are allowed", len(record), MaxRecord)
	}
	said, err := discovery.OpenRecord(record)
	if err != nil {
		return err
	}
	if said.PeerID != e.Peer {
		return fmt.Errorf("signed peer record: it is of %s", said.PeerID)
	}
	if ofTomorrow(said) {
		return errors.New("signed peer record: it is dated more than a day ahead")
	}
	if old, err := discovery.OpenRecord(e.Record); err == nil && !ofTomorrow(old) && old.Seq >= said.Seq {
		return nil
	}
	e.keep(record, said)
	return nil
}

// keep makes a record the current one.
func (e *Entry) keep(record []byte, said *peer.PeerRecord) {
	e.Record, e.Announced = record, nil
	for _, a := range worthKeeping(said.Addrs) {
		if s := a.String(); len(e.Announced) < maxAnnounced && !slices.Contains(e.Addrs, s) {
			e.Announced = append(e.Announced, s)
		}
	}
}

// ofTomorrow reports whether the clock that dated a record is wrong.
func ofTomorrow(r *peer.PeerRecord) bool {
	return r.Seq > uint64(time.Now().Add(24*time.Hour).UnixNano())
}

// Validate returns an error that names the field that is out of bounds.
func (e Entry) Validate() error {
	if err := e.Peer.Validate(); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if len(e.Addrs) > MaxAddrs {
		return fmt.Errorf("addrs: %d, at most %d are allowed", len(e.Addrs), MaxAddrs)
	}
	if len(e.Announced) > maxAnnounced {
		return fmt.Errorf("told: %d, at most %d are allowed", len(e.Announced), maxAnnounced)
	}
	if len(e.Record) > MaxRecord {
		return fmt.Errorf("record: %d bytes, at most %d are allowed", len(e.Record), MaxRecord)
	}
	if len(e.Labels) > maxLabels {
		return fmt.Errorf("labels: %d, at most %d are allowed", len(e.Labels), maxLabels)
	}
	words := []string{e.Name, e.Role, e.ClaimedName}
	words = slices.AppendSeq(slices.AppendSeq(words, maps.Keys(e.Labels)), maps.Values(e.Labels))
	for _, w := range words {
		if len(w) > maxNameLength {
			return fmt.Errorf("%q…: longer than %d bytes", w[:16], maxNameLength)
		}
	}
	for _, s := range slices.Concat(e.Addrs, e.Announced) {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return fmt.Errorf("addrs: %w", err)
		}
		if !route.Legible(a) {
			return fmt.Errorf("addrs: %.40q…: want %d printable characters at most", s, route.MaxText)
		}
	}
	return nil
}

func (e Entry) clone() Entry {
	e.Labels, e.Addrs = maps.Clone(e.Labels), slices.Clone(e.Addrs)
	e.Announced, e.Record = slices.Clone(e.Announced), slices.Clone(e.Record)
	return e
}

func readEntry(path string) (Entry, error) {
	text, err := durable.ReadFile(path, maxFile)
	if err != nil {
		return Entry{}, err
	}
	return decode(text)
}

func decode(text []byte) (Entry, error) {
	if len(text) > maxFile {
		return Entry{}, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var e Entry
	if err := json.Unmarshal(text, &e); err != nil {
		return Entry{}, err
	}
	return e, e.Validate()
}

// Confirm writes what the fleet says of the peer.
func (e *Entry) Confirm(name, role string, labels map[string]string) {
	e.Name, e.Labels, e.Role, e.Hint = name, labels, role, false
}
