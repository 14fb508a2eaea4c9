package ticket

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Reasons to refuse a ticket. ErrUnknown does not tell whether there is such a ticket; the others
// are for a peer that knows its secret.
var (
	ErrUnknown   = errors.New("no such ticket")
	ErrExpired   = errors.New("the ticket has expired")
	ErrUsed      = errors.New("the ticket was used")
	ErrOtherPeer = errors.New("the ticket is for another peer")
	ErrDenied    = errors.New("the joiner was not confirmed")
)

const (
	maxOpen = 256
	// maxKept is how many tickets are remembered, open or not. Only for want of room is one that has
	// ended forgotten: a clock that was ahead for a moment has then cost no ticket that is good.
	maxKept = 512
	maxFile = 32 << 10
	// maxBrought is how many open tickets one member may have brought here, maxBroughtAll how many
	// all of them together.
	maxBrought    = 32
	maxBroughtAll = 192
	// repeatWithin is how long the peer that used a ticket may ask again for an answer that was
	// lost, also past the ticket's end.
	repeatWithin = 10 * time.Minute
	maxLifetime  = 10 * 365 * 24 * time.Hour // of a grant
)

// Invitation says what a ticket gives, in the book of its redeemer.
type Invitation struct {
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Role   trust.Role        `json:"role"`
	Verbs  []string          `json:"verbs,omitzero"` // nil means those of the role
	On     string            `json:"on,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// LifetimeMs is how long the grant lasts, in milliseconds; 0 means the role's.
	LifetimeMs int64     `json:"lifetimeMs,omitempty"`
	Expires    time.Time `json:"expires"`
	// Peer is the only peer that may use the ticket; empty means any.
	Peer peer.ID `json:"peer,omitempty"`
	// Chain is the credential for Peer, where only the root could sign it.
	Chain trust.Chain `json:"chain,omitempty"`
	// Confirm asks for a person to compare the joiner's peer ID first.
	Confirm bool `json:"confirm,omitempty"`
	// By names the member that made the ticket.
	By string `json:"by,omitempty"`
	// Sender is the member that brought the ticket here to be redeemed; empty for our own.
	Sender peer.ID `json:"sender,omitempty"`

	// Confirmed is set by Check when a person has confirmed the peer.
	Confirmed bool `json:"-"`
}

// State is how a ticket stands.
type State struct {
	Invitation
	// Waiting is the joiner that a person has to confirm; empty for none.
	Waiting peer.ID
	// UsedBy is the peer that used the ticket, at UsedAt; empty for none yet.
	UsedBy peer.ID
	UsedAt time.Time
	// RefusedPeer is the last peer that was refused; empty for none.
	RefusedPeer peer.ID
}

// Book is the redeemer's side of tickets: a folder that several processes use at once, so nothing
// of it is kept in memory. A mark is a file that only one process can create, and it is on the disk
// before anything is answered.
type Book struct{ dir string }

// OpenBook returns the book in a folder, which is made if it is missing.
func OpenBook(dir string) (*Book, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ticket book: %w", err)
	}
	return &Book{dir}, nil
}

// The files of a ticket, by what follows its ID.
const (
	suffixTicket  = ".json"
	suffixUsed    = ".used"
	suffixWaiting = ".waiting"
	suffixAnswer  = ".answer" // to the one who waits
	suffixRefused = ".refused"
)

type ticketFile struct {
	Invitation
	SecretHash []byte `json:"secretHash"`
}

type usedFile struct {
	Peer  peer.ID     `json:"peer"`
	At    time.Time   `json:"at"`
	Chain trust.Chain `json:"chain"`
}

type answerFile struct {
	Peer peer.ID `json:"peer"`
	Yes  bool    `json:"yes"`
}

func (b *Book) path(id, suffix string) string { return filepath.Join(b.dir, id+suffix) }

// validateID refuses all but the alphabet of rand.Text, which is safe in the name of a file.
func validateID(id string) error {
	if id == "" || len(id) > 32 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return ErrUnknown
	}
	return nil
}

// Add notes a ticket. It fails with [trust.ErrFull] when 256 are open.
func (b *Book) Add(inv Invitation, secret []byte) error {
	if err := inv.validate(secret); err != nil {
		return err
	}
	if err := b.makeRoom(time.Now(), inv.Sender); err != nil {
		return err
	}
	sum := sha256.Sum256(secret)
	return b.create(inv.ID, suffixTicket, ticketFile{inv, sum[:]})
}

func (inv *Invitation) validate(secret []byte) error {
	if validateID(inv.ID) != nil {
		return fmt.Errorf("%.64q is no ticket ID", inv.ID)
	}
	if len(secret) < secretLength {
		return fmt.Errorf("a secret of %d bytes, want %d", len(secret), secretLength)
	}
	if inv.LifetimeMs < 0 || inv.LifetimeMs > maxLifetime.Milliseconds() {
		return fmt.Errorf("a lifetime of %d ms makes no sense", inv.LifetimeMs)
	}
	return inv.Grant().ValidateTexts()
}

// create writes a file that must not be there yet.
func (b *Book) create(id, suffix string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("ticket %s: %w", id, err)
	}
	if err := durable.CreateFile(b.path(id, suffix), data, 0o600); err != nil {
		return fmt.Errorf("ticket %s: %w", id, err)
	}
	return nil
}

// read reads a file of a ticket; fs.ErrNotExist when there is none.
func (b *Book) read(id, suffix string, v any) error {
	if err := validateID(id); err != nil {
		return err
	}
	data, err := durable.ReadFile(b.path(id, suffix), maxFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("ticket %s: %w: %w", id, trust.ErrInvalid, err)
	}
	return nil
}

func (b *Book) load(id string) (ticketFile, error) {
	var t ticketFile
	err := b.read(id, suffixTicket, &t)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrUnknown
	}
	return t, err
}

// Check returns what a ticket gives to a peer that brings its secret. The chain is the answer that
// the same peer was given before, nil for a first time.
func (b *Book) Check(id string, secret []byte, p peer.ID, now time.Time) (*Invitation, trust.Chain, error) {
	t, err := b.load(id)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(sum[:], t.SecretHash) != 1 {
		return nil, nil, ErrUnknown
	}
	used, found, err := b.used(id)
	switch {
	case err != nil:
		return nil, nil, err
	case found && used.Peer == p && now.Sub(used.At).Abs() < repeatWithin:
		return &t.Invitation, used.Chain, nil
	case found:
		return nil, nil, fmt.Errorf("%w: by %s on %s", ErrUsed, used.Peer, used.At.UTC().Format(time.DateTime))
	case !now.Before(t.Expires):
		return nil, nil, fmt.Errorf("%w: on %s", ErrExpired, t.Expires.UTC().Format(time.DateTime))
	case t.Peer != "" && t.Peer != p:
		return nil, nil, ErrOtherPeer
	}
	inv := &t.Invitation
	if inv.Confirm {
		inv.Confirmed, err = b.confirmed(id, p)
	}
	return inv, nil, err
}

func (b *Book) used(id string) (u usedFile, found bool, err error) {
	err = b.read(id, suffixUsed, &u)
	if errors.Is(err, fs.ErrNotExist) {
		return u, false, nil
	}
	return u, err == nil, err
}

// confirmed reports whether a person has confirmed this peer.
func (b *Book) confirmed(id string, p peer.ID) (bool, error) {
	var a answerFile
	switch err := b.read(id, suffixAnswer, &a); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !a.Yes || a.Peer != p:
		return false, ErrDenied
	}
	return true, nil
}

// Ask notes a joiner that waits for a person to confirm it. A person is asked about the first
// joiner; another one finds the ticket taken: [ErrUsed].
func (b *Book) Ask(id string, p peer.ID) error {
	err := b.create(id, suffixWaiting, answerFile{Peer: p})
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	var w answerFile
	if err := b.read(id, suffixWaiting, &w); err != nil {
		return err
	}
	if w.Peer != p {
		return fmt.Errorf("%w: %s is waiting to be confirmed", ErrUsed, w.Peer)
	}
	return nil
}

// Answer notes what the person says of the joiner that waits. A no spends the ticket.
func (b *Book) Answer(id string, p peer.ID, yes bool) error {
	if _, err := b.load(id); err != nil {
		return err
	}
	return b.create(id, suffixAnswer, answerFile{p, yes})
}

// Use marks the ticket as used by a peer, which gets the chain. Of several peers at a time exactly
// one wins. The same peer gets the chain of the first time again, and another [ErrUsed]. When the
// error is nil, the mark is on the disk.
func (b *Book) Use(id string, p peer.ID, c trust.Chain, now time.Time) (trust.Chain, error) {
	if _, err := b.load(id); err != nil {
		return nil, err
	}
	err := b.create(id, suffixUsed, usedFile{p, now, c})
	if !errors.Is(err, fs.ErrExist) {
		return c, err
	}
	used, _, err := b.used(id)
	switch {
	case err != nil:
		return nil, err
	case used.Peer != p:
		return nil, fmt.Errorf("%w: by %s", ErrUsed, used.Peer)
	}
	return used.Chain, nil
}

// Refused notes a peer that brought the secret and was not let in.
func (b *Book) Refused(id string, p peer.ID) error {
	if _, err := b.load(id); err != nil {
		return err
	}
	data, err := json.Marshal(answerFile{Peer: p})
	if err != nil {
		return err
	}
	return durable.WriteFile(b.path(id, suffixRefused), data, 0o600)
}

// State returns how a ticket stands. The error matches [ErrUnknown].
func (b *Book) State(id string) (State, error) {
	t, err := b.load(id)
	if err != nil {
		return State{}, err
	}
	s := State{Invitation: t.Invitation}
	var w, r answerFile
	used, found, err := b.used(id)
	if found {
		s.UsedBy, s.UsedAt = used.Peer, used.At
	}
	if b.read(id, suffixWaiting, &w) == nil && !found {
		if _, err := os.Stat(b.path(id, suffixAnswer)); errors.Is(err, fs.ErrNotExist) {
			s.Waiting = w.Peer
		}
	}
	if b.read(id, suffixRefused, &r) == nil {
		s.RefusedPeer = r.Peer
	}
	return s, err
}

// List returns all tickets that are remembered, ordered by their ends. Damaged ones are left out.
func (b *Book) List() ([]State, error) {
	ids, err := b.ids()
	if err != nil {
		return nil, err
	}
	var out []State
	for _, id := range ids {
		if s, err := b.State(id); err == nil {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b State) int { return a.Expires.Compare(b.Expires) })
	return out, nil
}

func (b *Book) ids() (out []string, err error) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, fmt.Errorf("ticket book: %w", err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffixTicket); ok && validateID(id) == nil {
			out = append(out, id)
		}
	}
	return out, nil
}

// shelf is what the book holds at a time.
type shelf struct {
	open              int // also those that are not understood
	brought, bySender int // of the open ones, by any member and by one
	over              []overTicket
}

// overTicket is a ticket that has ended.
type overTicket struct {
	id    string
	ended time.Time
	used  bool
}

// makeRoom forgets a ticket that has ended where the book is full: one that was used before others,
// and then the one that ended first. The error matches [trust.ErrFull] where too many are open.
func (b *Book) makeRoom(now time.Time, sender peer.ID) error {
	s, err := b.look(now, sender)
	switch {
	case err != nil:
		return err
	case s.open >= maxOpen:
		return fmt.Errorf("%w: %d tickets are open", trust.ErrFull, s.open)
	case sender != "" && (s.bySender >= maxBrought || s.brought >= maxBroughtAll):
		return fmt.Errorf("%w: %d tickets of this member are open, and %d that members brought",
			trust.ErrFull, s.bySender, s.brought)
	}
	slices.SortFunc(s.over, func(a, b overTicket) int {
		if a.used != b.used {
			return map[bool]int{true: -1, false: 1}[a.used]
		}
		return a.ended.Compare(b.ended)
	})
	for i := range min(len(s.over), s.open+len(s.over)-maxKept+1) {
		if err := b.Remove(s.over[i].id); err != nil {
			return err
		}
	}
	return nil
}

// look reads what the book holds, with what a member has brought.
func (b *Book) look(now time.Time, sender peer.ID) (s shelf, err error) {
	ids, err := b.ids()
	if err != nil {
		return s, err
	}
	for _, id := range ids {
		t, err := b.load(id)
		switch {
		case err != nil:
			s.open++ // keep it, and count it
			continue
		case !now.Before(t.Expires):
			_, unused := os.Stat(b.path(id, suffixUsed))
			s.over = append(s.over, overTicket{id, t.Expires, unused == nil})
			continue
		}
		s.open++
		if t.Sender != "" {
			s.brought++
		}
		if t.Sender != "" && t.Sender == sender {
			s.bySender++
		}
	}
	return s, nil
}

// Remove forgets a ticket, so that it cannot be redeemed any more. It is no error when there is
// none.
func (b *Book) Remove(id string) error {
	if err := validateID(id); err != nil {
		return err
	}
	// The ticket goes first, and is gone from the disk before the others: without it they mean
	// nothing, and without its mark it could be used once more.
	for _, suffixes := range [][]string{{suffixTicket}, {suffixUsed, suffixWaiting, suffixAnswer, suffixRefused}} {
		for _, suffix := range suffixes {
			if err := os.Remove(b.path(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("ticket book: %w", err)
			}
		}
		if err := durable.SyncDir(b.dir); err != nil {
			return err
		}
	}
	return nil
}
