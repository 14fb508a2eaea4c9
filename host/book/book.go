// Package book is the address book: the peers that a node has saved, each in a file of its own.
package book

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Errors that a caller can act on.
var (
	// ErrUnknown means that no saved peer has the name or ID. Look for it by discovery, or ask for
	// an address.
	ErrUnknown = errors.New("unknown peer")
	// ErrAmbiguous means that several saved peers match. The text lists some; use more characters
	// of the ID.
	ErrAmbiguous = errors.New("ambiguous peer")
	// ErrFull means that 10,000 peers are saved. Remove some.
	ErrFull = errors.New("address book is full")
)

// Book is the address book. Each entry is one small file, written atomically, so that several
// processes with one state directory never damage each other's entries; of two that change the same
// entry at once, the last one wins. Methods may be called concurrently.
type Book struct {
	dir string // empty: in memory only
	log *slog.Logger

	mu      sync.Mutex // guards entries and the order of changes to files
	entries map[peer.ID]Entry
}

// Open reads the address book in dir, which is made if it is missing; an empty dir gives a book
// that lives in memory. A damaged entry is set aside with a line in the log. A nil logger is
// silent.
func Open(dir string, log *slog.Logger) (*Book, error) {
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
		if b.entries == nil {
			b.entries = make(map[peer.ID]Entry)
		}
		return nil
	}
	files, err := os.ReadDir(b.dir)
	if err != nil {
		return fmt.Errorf("read address book: %w", err)
	}
	entries := make(map[peer.ID]Entry, len(files))
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".json"); ok && !strings.HasPrefix(name, ".") {
			b.loadInto(entries, name)
		}
	}
	b.entries = entries
	return nil
}

func (b *Book) loadInto(entries map[peer.ID]Entry, name string) {
	if len(entries) >= MaxEntries {
		b.log.Warn("skipped a saved peer, the address book is full", "file", name)
		return
	}
	path := filepath.Join(b.dir, name+".json")
	e, err := readEntry(path)
	if err == nil && e.Peer.String() != name {
		err = fmt.Errorf("it is about peer %s", e.Peer)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // removed by another process meanwhile
			b.skip(path, err)
		}
		return
	}
	entries[e.Peer] = e
}

// skip goes on without a file that cannot be used. A damaged one is set aside: the peer is met
// again, and saved anew.
func (b *Book) skip(path string, why error) {
	at := path
	if !errors.Is(why, durable.ErrUnsafe) {
		if aside, err := durable.SetAside(path); err == nil {
			at = aside
		}
	}
	b.log.Warn("skipped a damaged entry of the address book", "file", at, "err", why)
}

// All returns the entries, ordered by name and then peer ID.
func (b *Book) All() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Entry, 0, len(b.entries))
	for _, e := range b.entries {
		all = append(all, e.clone())
	}
	slices.SortFunc(all, func(x, y Entry) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return strings.Compare(string(x.Peer), string(y.Peer))
	})
	return all
}

// Get returns the entry p, and whether it is saved.
func (b *Book) Get(p peer.ID) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[p]
	return e.clone(), ok
}

// Addrs returns the addresses saved for p, the best first; none for a peer that is not saved.
func (b *Book) Addrs(p peer.ID) []multiaddr.Multiaddr {
	e, _ := b.Get(p)
	return e.AddrInfo().Addrs
}

// HasRole reports whether p is saved with one of these roles.
func (b *Book) HasRole(p peer.ID, roles ...string) bool {
	e, ok := b.Get(p)
	return ok && slices.Contains(roles, e.Role)
}

// IsRelay reports whether p is saved as a relay.
func (b *Book) IsRelay(p peer.ID) bool { return b.HasRole(p, RoleRelay) }

// Relays returns the saved relays with their addresses, without hints.
func (b *Book) Relays() (out []peer.AddrInfo) {
	for _, e := range b.All() {
		if e.Role == RoleRelay && !e.Hint && e.HasAddr() {
			out = append(out, e.AddrInfo())
		}
	}
	return out
}

// Recent returns the peers whose addresses are known, those seen last first: they are the likeliest
// to be there.
func (b *Book) Recent() (out []peer.AddrInfo) {
	all := b.All()
	slices.SortStableFunc(all, func(x, y Entry) int { return cmp.Compare(y.LastSeen, x.LastSeen) })
	for _, e := range all {
		if e.HasAddr() {
			out = append(out, e.AddrInfo())
		}
	}
	return out
}

// Find returns the entry with that peer ID, name, or unique beginning of a peer ID. A whole peer ID
// always means that peer, even if another one has it as its name; else names come first. The error
// matches ErrUnknown or ErrAmbiguous.
func (b *Book) Find(query string) (Entry, error) {
	if id, err := peer.Decode(query); err == nil {
		if e, ok := b.Get(id); ok {
			return e, nil
		}
		return Entry{}, fmt.Errorf("%w: no saved peer has the ID %s", ErrUnknown, id)
	}
	var named, prefixed []Entry
	for _, e := range b.All() {
		if query != "" && e.Name == query {
			named = append(named, e)
		}
		if MatchesID(query, e.Peer) {
			prefixed = append(prefixed, e)
		}
	}
	if len(named) == 0 {
		named = prefixed
	}
	switch len(named) {
	case 0:
		return Entry{}, fmt.Errorf("%w: no saved peer has the name or ID %q", ErrUnknown, query)
	case 1:
		return named[0], nil
	}
	return Entry{}, fmt.Errorf("%w: %q fits %d peers: %s", ErrAmbiguous, query, len(named), examples(named))
}

// MatchesID reports whether query is the beginning of the text of p, and longer than what all
// Ed25519 peer IDs begin with ("12D3KooW"): a mistyped short name must not choose the only machine
// there is.
func MatchesID(query string, p peer.ID) bool {
	return len(query) > len("12D3KooW") && strings.HasPrefix(p.String(), query)
}

func examples(entries []Entry) string {
	const shown = 4
	var out []string
	for _, e := range entries[:min(len(entries), shown)] {
		out = append(out, strings.TrimSpace(e.Name+" "+e.Peer.String()))
	}
	if len(entries) > shown {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

// Put saves e, replacing what was saved about that peer. When it returns nil, it is on the disk.
func (b *Book) Put(e Entry) error {
	_, err := b.Update(e.Peer, func(old *Entry) { *old = e.clone() })
	return err
}

// Update changes what is saved about p, beginning with an empty entry if there is none, and returns
// the result. It reads the newest state of the file, so that what another process has set is kept.
// change must not call the book.
func (b *Book) Update(p peer.ID, change func(*Entry)) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, saved := b.newest(p)
	e.Peer = p
	old := e.clone()
	change(&e)
	e.Peer = p
	if err := e.Validate(); err != nil {
		return Entry{}, fmt.Errorf("save peer %s: %w", p, err)
	}
	if err := b.makeRoom(e); err != nil {
		return Entry{}, err
	}
	if !saved || !reflect.DeepEqual(e, old) {
		if err := b.write(e); err != nil {
			return Entry{}, err
		}
	}
	b.entries[p] = e
	return e.clone(), nil
}

// Remove forgets p. It is no error if it was not saved.
func (b *Book) Remove(p peer.ID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(p)
}

func (b *Book) remove(p peer.ID) error {
	delete(b.entries, p)
	if b.dir == "" {
		return nil
	}
	if err := os.Remove(b.path(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget peer %s: %w", p, err)
	}
	return durable.SyncDir(b.dir)
}

// newest returns the entry from its file, or what we remember if that cannot be read, and whether
// it is from the file.
func (b *Book) newest(p peer.ID) (e Entry, saved bool) {
	if b.dir != "" && p.Validate() == nil {
		if e, err := readEntry(b.path(p)); err == nil && e.Peer == p {
			return e, true
		}
	}
	return b.entries[p].clone(), false
}

// makeRoom keeps the book within its bounds when e is added: hints give way; then, for a peer that was
// met or that the owner saves, one of whom others have only told, as the thief of an issuer's key can
// of any number. What the owner saved does not.
func (b *Book) makeRoom(e Entry) error {
	if old, ok := b.entries[e.Peer]; ok && old.Hint == e.Hint {
		return nil
	}
	var oldest, told *Entry
	hints := 0
	for _, other := range b.entries {
		if !other.Hint && other.told() {
			told = &other
		}
		if !other.Hint || other.Peer == e.Peer {
			continue
		}
		hints++
		if oldest == nil || other.LastSeen < oldest.LastSeen {
			oldest = &other
		}
	}
	_, known := b.entries[e.Peer]
	full := len(b.entries) >= MaxEntries && !known
	switch {
	case oldest != nil && (full || e.Hint && hints >= maxHints):
		return b.remove(oldest.Peer)
	case full && told != nil && !e.told():
		return b.remove(told.Peer)
	case full:
		return fmt.Errorf("%w: it holds %d peers", ErrFull, len(b.entries))
	}
	return nil
}

func (b *Book) path(p peer.ID) string { return filepath.Join(b.dir, p.String()+".json") }

func (b *Book) write(e Entry) error {
	if b.dir == "" {
		return nil
	}
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("save peer %s: %w", e.Peer, err)
	}
	text = append(text, '\n')
	if len(text) > maxFile {
		return fmt.Errorf("save peer %s: %d bytes, at most %d are allowed", e.Peer, len(text), maxFile)
	}
	return durable.WriteFile(b.path(e.Peer), text, 0o600)
}

// Dir is where a node with this state directory keeps its address book.
func Dir(stateDir string) string { return filepath.Join(stateDir, "peers") }
