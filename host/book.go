package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Bounds of the address book.
const (
	maxMembers    = 10_000
	maxHints      = 256 // of them known only through discovery
	maxNameLength = 64  // bytes, also of label keys, label values and roles
	maxLabels     = 32
	maxMemberFile = 16 << 10 // bytes
	maxTold       = 8        // addresses that were passed on: TCP and QUIC at four places
)

// MaxRecord is the longest signed peer record that is kept or passed on, in bytes: one of 16 addresses by relays has 1,100.
const MaxRecord = 2 << 10

// Errors of the address book that a caller can act on.
var (
	// ErrUnknownPeer comes when no saved peer has the name or ID. Look for it by discovery, or ask for an address.
	ErrUnknownPeer = errors.New("unknown peer")
	// ErrAmbiguousPeer comes when several saved peers match. The text lists some; use more characters of the ID.
	ErrAmbiguousPeer = errors.New("ambiguous peer")
	// ErrBookFull comes when 10,000 peers are saved. Remove some.
	ErrBookFull = errors.New("address book is full")
)

// Member is a saved peer.
type Member struct {
	Peer peer.ID `json:"peer"`
	// Name and Labels are given by the owner of this node, and are what targets are chosen by.
	Name   string            `json:"name,omitzero"`
	Labels map[string]string `json:"labels,omitzero"`
	// Addrs are multiaddrs without /p2p/, the best first; at most 16. They are first-hand: the owner gave them, we were
	// connected there, or the peer itself said so.
	Addrs []string `json:"addrs"`
	// Told are further addresses from a record that others have passed on, those with the longest reach first; at most 8.
	Told []string `json:"told,omitzero"`
	// Record is the newest signed peer record that is known of it, a libp2p envelope of at most MaxRecord bytes: its own word,
	// which can be passed on. See Hear.
	Record []byte `json:"record,omitzero"`
	// LastSeen is when we were last connected, in Unix milliseconds; 0 is never.
	LastSeen int64 `json:"lastSeen"`
	// Role and ClaimedName are what the peer says about itself: to be shown, never to be believed.
	Role        string `json:"role,omitzero"`
	ClaimedName string `json:"claimedName,omitzero"`
	// Hint marks a peer that only discovery told about. The oldest hints make room for new ones; saving a
	// peer without the mark keeps it.
	Hint bool `json:"hint,omitzero"`
}

// AddrInfo is how libp2p names the member. Those of Addrs come first. Addresses that cannot be read are left out.
func (m Member) AddrInfo() peer.AddrInfo {
	info := peer.AddrInfo{ID: m.Peer}
	for _, s := range slices.Concat(m.Addrs, m.Told) {
		if a, err := multiaddr.NewMultiaddr(s); err == nil {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info
}

// HasAddr tells whether there is any address.
func (m Member) HasAddr() bool { return len(m.Addrs)+len(m.Told) > 0 }

// Give adds addresses that the owner has given, after those that are known, as far as there is room and they can be kept as text.
func (m *Member) Give(addrs []multiaddr.Multiaddr) {
	for _, a := range addrs {
		if s := a.String(); len(m.Addrs) < maxAddrs && legible(a) && !slices.Contains(m.Addrs, s) {
			m.Addrs = append(m.Addrs, s)
		}
	}
}

// Hear takes a signed record of the member that somebody has passed on. Whoever that was, it is the member's own word; but it
// may be an old one, and what others can reach may not be within our reach. So it takes the place of older records only, and of
// nothing that is known first-hand. A record that is dated more than a day ahead is of a wrong clock, and not taken.
func (m *Member) Hear(record []byte) error {
	if len(record) == 0 || bytes.Equal(record, m.Record) {
		return nil
	}
	if len(record) > MaxRecord {
		return fmt.Errorf("signed peer record: %d bytes, at most %d are allowed", len(record), MaxRecord)
	}
	said, err := discovery.OpenRecord(record)
	if err != nil {
		return err
	}
	if said.PeerID != m.Peer {
		return fmt.Errorf("signed peer record: it is of %s", said.PeerID)
	}
	if ofTomorrow(said) {
		return errors.New("signed peer record: it is dated more than a day ahead")
	}
	if old, err := discovery.OpenRecord(m.Record); err == nil && !ofTomorrow(old) && old.Seq >= said.Seq {
		return nil
	}
	m.keep(record, said)
	return nil
}

// keep makes a record the one that counts.
func (m *Member) keep(record []byte, said *peer.PeerRecord) {
	m.Record, m.Told = record, nil
	for _, a := range worthTelling(said.Addrs) {
		if s := a.String(); len(m.Told) < maxTold && !slices.Contains(m.Addrs, s) {
			m.Told = append(m.Told, s)
		}
	}
}

// ofTomorrow says whether a record comes from a clock that is wrong.
func ofTomorrow(r *peer.PeerRecord) bool {
	return r.Seq > uint64(time.Now().Add(24*time.Hour).UnixNano())
}

// Validate says what is wrong with a member in the words of its fields.
func (m Member) Validate() error {
	if err := m.Peer.Validate(); err != nil {
		return fmt.Errorf("peer: %w", err)
	}
	if len(m.Addrs) > maxAddrs {
		return fmt.Errorf("addrs: %d, at most %d are allowed", len(m.Addrs), maxAddrs)
	}
	if len(m.Told) > maxTold {
		return fmt.Errorf("told: %d, at most %d are allowed", len(m.Told), maxTold)
	}
	if len(m.Record) > MaxRecord {
		return fmt.Errorf("record: %d bytes, at most %d are allowed", len(m.Record), MaxRecord)
	}
	if len(m.Labels) > maxLabels {
		return fmt.Errorf("labels: %d, at most %d are allowed", len(m.Labels), maxLabels)
	}
	words := []string{m.Name, m.Role, m.ClaimedName}
	words = slices.AppendSeq(slices.AppendSeq(words, maps.Keys(m.Labels)), maps.Values(m.Labels))
	for _, w := range words {
		if len(w) > maxNameLength {
			return fmt.Errorf("%q…: longer than %d bytes", w[:16], maxNameLength)
		}
	}
	for _, s := range slices.Concat(m.Addrs, m.Told) {
		a, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			return fmt.Errorf("addrs: %w", err)
		}
		if !legible(a) {
			return fmt.Errorf("addrs: %.40q…: want %d printable characters at most", s, maxAddrText)
		}
	}
	return nil
}

func (m Member) clone() Member {
	m.Labels, m.Addrs = maps.Clone(m.Labels), slices.Clone(m.Addrs)
	m.Told, m.Record = slices.Clone(m.Told), slices.Clone(m.Record)
	return m
}

// Book is the address book: the saved peers. Each is one small file, written atomically, so that several processes with one
// state directory never damage each other's entries; of two that change the same entry at once, the last one wins.
// Methods may be called concurrently.
type Book struct {
	dir string // empty: in memory only
	log *slog.Logger

	mu      sync.Mutex // guards members and the order of changes to files
	members map[peer.ID]Member
}

// OpenBook reads the address book in dir, which is made if it is missing; an empty dir gives a book that lives in memory. A
// damaged entry is skipped with a line in the log, and stays where it is. A nil logger is silent.
func OpenBook(dir string, log *slog.Logger) (*Book, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	b := &Book{dir: dir, log: log}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make address book: %w", err)
		}
	}
	return b, b.Reload()
}

// Reload reads the files again, to see what other processes have saved since.
func (b *Book) Reload() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		if b.members == nil {
			b.members = make(map[peer.ID]Member)
		}
		return nil
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return fmt.Errorf("read address book: %w", err)
	}
	members := make(map[peer.ID]Member, len(entries))
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && !strings.HasPrefix(name, ".") {
			b.loadInto(members, name)
		}
	}
	b.members = members
	return nil
}

func (b *Book) loadInto(members map[peer.ID]Member, name string) {
	if len(members) >= maxMembers {
		b.log.Warn("skipped a saved peer, the address book is full", "file", name)
		return
	}
	path := filepath.Join(b.dir, name+".json")
	m, err := readMember(path)
	if err == nil && m.Peer.String() != name {
		err = fmt.Errorf("it is about peer %s", m.Peer)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // removed by another process meanwhile
			b.skip(path, err)
		}
		return
	}
	members[m.Peer] = m
}

// skip goes on without a file that cannot be used. A damaged one is set aside: the peer is met again, and saved anew.
func (b *Book) skip(path string, why error) {
	at := path
	if !errors.Is(why, durable.ErrUnsafe) {
		if aside, err := durable.SetAside(path); err == nil {
			at = aside
		}
	}
	b.log.Warn("skipped a damaged entry of the address book", "file", at, "err", why)
}

// All returns the members, ordered by name and then peer ID.
func (b *Book) All() []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Member, 0, len(b.members))
	for _, m := range b.members {
		all = append(all, m.clone())
	}
	slices.SortFunc(all, func(x, y Member) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return strings.Compare(string(x.Peer), string(y.Peer))
	})
	return all
}

// Get returns the member p, and whether it is saved.
func (b *Book) Get(p peer.ID) (Member, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.members[p]
	return m.clone(), ok
}

// Find returns the member with that peer ID, name, or unique beginning of a peer ID. A whole peer ID always means that
// peer, whoever is named so; else names come first. The error matches ErrUnknownPeer or ErrAmbiguousPeer.
func (b *Book) Find(query string) (Member, error) {
	if id, err := peer.Decode(query); err == nil {
		if m, ok := b.Get(id); ok {
			return m, nil
		}
		return Member{}, fmt.Errorf("%w: no saved peer has the ID %s", ErrUnknownPeer, id)
	}
	var named, prefixed []Member
	for _, m := range b.All() {
		if query != "" && m.Name == query {
			named = append(named, m)
		}
		if MatchesID(query, m.Peer) {
			prefixed = append(prefixed, m)
		}
	}
	if len(named) == 0 {
		named = prefixed
	}
	switch len(named) {
	case 0:
		return Member{}, fmt.Errorf("%w: no saved peer has the name or ID %q", ErrUnknownPeer, query)
	case 1:
		return named[0], nil
	}
	return Member{}, fmt.Errorf("%w: %q fits %d peers: %s", ErrAmbiguousPeer, query, len(named), examples(named))
}

// MatchesID reports whether query is the beginning of the text of p, long enough to say more than what all Ed25519 peer IDs
// begin with ("12D3KooW"): a mistyped short name must not choose the only machine there is.
func MatchesID(query string, p peer.ID) bool {
	return len(query) > len("12D3KooW") && strings.HasPrefix(p.String(), query)
}

func examples(members []Member) string {
	const shown = 4
	var out []string
	for _, m := range members[:min(len(members), shown)] {
		out = append(out, strings.TrimSpace(m.Name+" "+m.Peer.String()))
	}
	if len(members) > shown {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

// Put saves m, replacing what was saved about that peer. When it returns nil, it is on the disk.
func (b *Book) Put(m Member) error {
	_, err := b.Update(m.Peer, func(old *Member) { *old = m.clone() })
	return err
}

// Update changes what is saved about p, beginning with an empty entry if there is none, and returns the result. It looks at
// the newest state of the file, so that what another process has set is kept. change must not call the book.
func (b *Book) Update(p peer.ID, change func(*Member)) (Member, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, saved := b.newest(p)
	m.Peer = p
	old := m.clone()
	change(&m)
	m.Peer = p
	if err := m.Validate(); err != nil {
		return Member{}, fmt.Errorf("save peer %s: %w", p, err)
	}
	if err := b.makeRoom(m); err != nil {
		return Member{}, err
	}
	if !saved || !reflect.DeepEqual(m, old) {
		if err := b.write(m); err != nil {
			return Member{}, err
		}
	}
	b.members[p] = m
	return m.clone(), nil
}

// Remove forgets p. It is no error if it was not saved.
func (b *Book) Remove(p peer.ID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(p)
}

func (b *Book) remove(p peer.ID) error {
	delete(b.members, p)
	if b.dir == "" {
		return nil
	}
	if err := os.Remove(b.path(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget peer %s: %w", p, err)
	}
	return durable.SyncDir(b.dir)
}

// newest returns the entry from its file, or what we remember if that cannot be read, and whether it is from the file.
func (b *Book) newest(p peer.ID) (m Member, saved bool) {
	if b.dir != "" && p.Validate() == nil {
		if m, err := readMember(b.path(p)); err == nil && m.Peer == p {
			return m, true
		}
	}
	return b.members[p].clone(), false
}

// makeRoom keeps the book within its bounds when m is added: hints give way, what the owner saved does not.
func (b *Book) makeRoom(m Member) error {
	if old, ok := b.members[m.Peer]; ok && old.Hint == m.Hint {
		return nil
	}
	var oldest *Member
	hints := 0
	for _, other := range b.members {
		if !other.Hint || other.Peer == m.Peer {
			continue
		}
		hints++
		if oldest == nil || other.LastSeen < oldest.LastSeen {
			oldest = &other
		}
	}
	_, known := b.members[m.Peer]
	full := len(b.members) >= maxMembers && !known
	switch {
	case oldest != nil && (full || m.Hint && hints >= maxHints):
		return b.remove(oldest.Peer)
	case full:
		return fmt.Errorf("%w: it holds %d peers", ErrBookFull, len(b.members))
	}
	return nil
}

func (b *Book) path(p peer.ID) string { return filepath.Join(b.dir, p.String()+".json") }

func (b *Book) write(m Member) error {
	if b.dir == "" {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("save peer %s: %w", m.Peer, err)
	}
	text = append(text, '\n')
	if len(text) > maxMemberFile {
		return fmt.Errorf("save peer %s: %d bytes, at most %d are allowed", m.Peer, len(text), maxMemberFile)
	}
	return durable.WriteFile(b.path(m.Peer), text, 0o600)
}

func readMember(path string) (Member, error) {
	text, err := durable.ReadFile(path, maxMemberFile)
	if err != nil {
		return Member{}, err
	}
	return decodeMember(text)
}

func decodeMember(text []byte) (Member, error) {
	if len(text) > maxMemberFile {
		return Member{}, fmt.Errorf("larger than %d bytes", maxMemberFile)
	}
	var m Member
	if err := json.Unmarshal(text, &m); err != nil {
		return Member{}, err
	}
	return m, m.Validate()
}

// remembering says what a sighting means for a peer that is not in the book.
type remembering int

const (
	onlySaved remembering = iota // it is not added
	asHint                       // added as a hint
	asMember                     // added as the owner's own wish, also if it was a hint
)

// seen notes that p was connected. It writes nothing if that would only move LastSeen by a moment.
func (b *Book) seen(p peer.ID, s sighting) error {
	old, known := b.Get(p)
	if !known && s.how == onlySaved {
		return nil
	}
	s.addrs = s.addrs[:min(len(s.addrs), maxAddrs)]
	fresh := s.at.Sub(time.UnixMilli(old.LastSeen)) < time.Minute
	same := (len(s.addrs) == 0 || slices.Equal(keepNames(s.addrs, old.Addrs), old.Addrs)) && (len(s.record) == 0 || bytes.Equal(s.record, old.Record))
	if known && fresh && same && !(old.Hint && s.how == asMember) {
		return nil
	}
	_, err := b.Update(p, func(m *Member) {
		m.Hint = s.how != asMember && (m.Hint || !known)
		m.LastSeen = s.at.UnixMilli()
		if len(s.addrs) > 0 {
			m.Addrs = keepNames(s.addrs, m.Addrs)
			m.Told = slices.DeleteFunc(m.Told, func(a string) bool { return slices.Contains(m.Addrs, a) })
		}
		if said, err := discovery.OpenRecord(s.record); err == nil && said.PeerID == p && !ofTomorrow(said) {
			m.keep(s.record, said) // also one of an earlier date: its clock was wrong before
		}
	})
	return err
}

// BookDir is where a node with this state directory keeps its address book.
func BookDir(stateDir string) string { return filepath.Join(stateDir, "peers") }
