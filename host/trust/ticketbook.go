package trust

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

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Reasons to refuse a ticket. The first says nothing of whether there is such a
// ticket; the others are for one who knows its secret.
var (
	ErrTicketUnknown = errors.New("no such ticket")
	ErrTicketExpired = errors.New("the ticket has expired")
	ErrTicketUsed    = errors.New("the ticket was used")
	ErrTicketPeer    = errors.New("the ticket is for another peer")
	ErrTicketDenied  = errors.New("the joiner was not confirmed")
)

const (
	maxOpenTickets = 256
	maxTicketFile  = 32 << 10
	// Of the open tickets so many may be of one member that brings them, and of all such.
	maxBrought    = 32
	maxBroughtAll = 192
	// repeatWithin is how long the one who used a ticket may ask again for an
	// answer that was lost, also past the ticket's end.
	repeatWithin = 10 * time.Minute
	// forgetAfter is how long a ticket that is over is remembered, to refuse it in
	// words.
	forgetAfter = day
)

// Invitation is what a ticket is worth, in the book of its redeemer.
type Invitation struct {
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Role   Role              `json:"role"`
	Verbs  []string          `json:"verbs,omitzero"` // nil means those of the role
	On     string            `json:"on,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// LifetimeMs is how long the grant lasts, in milliseconds; 0 means the role's.
	LifetimeMs int64     `json:"lifetimeMs,omitempty"`
	Expires    time.Time `json:"expires"`
	// Peer is the only one who may use the ticket; empty means any.
	Peer peer.ID `json:"peer,omitempty"`
	// Chain is the grant for Peer, where only the root could sign it.
	Chain Chain `json:"chain,omitempty"`
	// Confirm says that a person has to compare the joiner's peer ID first.
	Confirm bool `json:"confirm,omitempty"`
	// By is who made the ticket.
	By string `json:"by,omitempty"`
	// Sender is the member who had this one redeem the ticket; empty for our own.
	Sender peer.ID `json:"sender,omitempty"`

	// Confirmed is set by Check when a person has confirmed the peer.
	Confirmed bool `json:"-"`
}

// TicketState is how a ticket stands.
type TicketState struct {
	Invitation
	// Waiting is the joiner that a person has to confirm; empty for none.
	Waiting peer.ID
	// UsedBy is who used it, at UsedAt; empty for nobody yet.
	UsedBy peer.ID
	UsedAt time.Time
	// RefusedPeer is the last one that was refused; empty for none.
	RefusedPeer peer.ID
}

// TicketBook is the redeemer's side of tickets: a folder that several processes
// use at once, so nothing of it is kept in memory. Marks are files that only one
// can create, and on the disk before anything is answered.
type TicketBook struct{ dir string }

// OpenTicketBook returns the book in a folder, which is made if it is missing.
func OpenTicketBook(dir string) (*TicketBook, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ticket book: %w", err)
	}
	return &TicketBook{dir}, nil
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
	Peer  peer.ID   `json:"peer"`
	At    time.Time `json:"at"`
	Chain Chain     `json:"chain"`
}

type answerFile struct {
	Peer peer.ID `json:"peer"`
	Yes  bool    `json:"yes"`
}

func (b *TicketBook) path(id, suffix string) string { return filepath.Join(b.dir, id+suffix) }

func validateTicketID(id string) error {
	if id == "" || len(id) > 32 || !upper32(id) {
		return ErrTicketUnknown
	}
	return nil
}

// Add notes a ticket. It fails with [ErrFull] when 256 are open.
func (b *TicketBook) Add(inv Invitation, secret []byte) error {
	if err := inv.validate(secret); err != nil {
		return err
	}
	open, brought, err := b.prune(time.Now(), inv.Sender)
	switch {
	case err != nil:
		return err
	case open >= maxOpenTickets:
		return fmt.Errorf("%w: %d tickets are open", ErrFull, open)
	case inv.Sender != "" && (brought.bySender >= maxBrought || brought.all >= maxBroughtAll):
		return fmt.Errorf("%w: %d tickets of this member are open, and %d that members brought", ErrFull, brought.bySender, brought.all)
	}
	sum := sha256.Sum256(secret)
	return b.create(inv.ID, suffixTicket, ticketFile{inv, sum[:]})
}

func (inv *Invitation) validate(secret []byte) error {
	if validateTicketID(inv.ID) != nil {
		return fmt.Errorf("%q is no ticket ID", shorten(inv.ID))
	}
	if len(secret) < secretLength {
		return fmt.Errorf("a secret of %d bytes, want %d", len(secret), secretLength)
	}
	if inv.LifetimeMs < 0 || inv.LifetimeMs > (10*365*day).Milliseconds() {
		return fmt.Errorf("a lifetime of %d ms makes no sense", inv.LifetimeMs)
	}
	return validateGiven(inv.Role, inv.Verbs, inv.On, inv.Name, inv.Labels)
}

// create writes a file that must not be there yet.
func (b *TicketBook) create(id, suffix string, v any) error {
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
func (b *TicketBook) read(id, suffix string, v any) error {
	if err := validateTicketID(id); err != nil {
		return err
	}
	data, err := readBounded(b.path(id, suffix), maxTicketFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("ticket %s: %w: %w", id, ErrInvalid, err)
	}
	return nil
}

func (b *TicketBook) load(id string) (ticketFile, error) {
	var t ticketFile
	err := b.read(id, suffixTicket, &t)
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrTicketUnknown
	}
	return t, err
}

// Check tells what a ticket is worth to a peer who brings its secret. The chain
// is the answer that the same peer was given before, nil for a first time.
func (b *TicketBook) Check(id string, secret []byte, p peer.ID, now time.Time) (*Invitation, Chain, error) {
	t, err := b.load(id)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(sum[:], t.SecretHash) != 1 {
		return nil, nil, ErrTicketUnknown
	}
	used, found, err := b.used(id)
	switch {
	case err != nil:
		return nil, nil, err
	case found && used.Peer == p && now.Sub(used.At) < repeatWithin:
		return &t.Invitation, used.Chain, nil
	case found:
		return nil, nil, fmt.Errorf("%w: by %s on %s", ErrTicketUsed, used.Peer, used.At.UTC().Format(time.DateTime))
	case !now.Before(t.Expires):
		return nil, nil, fmt.Errorf("%w: on %s", ErrTicketExpired, t.Expires.UTC().Format(time.DateTime))
	case t.Peer != "" && t.Peer != p:
		return nil, nil, ErrTicketPeer
	}
	inv := &t.Invitation
	if inv.Confirm {
		inv.Confirmed, err = b.confirmed(id, p)
	}
	return inv, nil, err
}

func (b *TicketBook) used(id string) (u usedFile, found bool, err error) {
	err = b.read(id, suffixUsed, &u)
	if errors.Is(err, fs.ErrNotExist) {
		return u, false, nil
	}
	return u, err == nil, err
}

// confirmed tells whether a person has confirmed this peer.
func (b *TicketBook) confirmed(id string, p peer.ID) (bool, error) {
	var a answerFile
	switch err := b.read(id, suffixAnswer, &a); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !a.Yes || a.Peer != p:
		return false, ErrTicketDenied
	}
	return true, nil
}

// Ask notes a joiner that waits for a person to confirm it. The first one is the
// one asked about; another finds the ticket taken.
func (b *TicketBook) Ask(id string, p peer.ID) error {
	err := b.create(id, suffixWaiting, answerFile{Peer: p})
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	var w answerFile
	if err := b.read(id, suffixWaiting, &w); err != nil {
		return err
	}
	if w.Peer != p {
		return fmt.Errorf("%w: %s is waiting to be confirmed", ErrTicketUsed, w.Peer)
	}
	return nil
}

// Answer is what the person says of the joiner that waits. No spends the ticket.
func (b *TicketBook) Answer(id string, p peer.ID, yes bool) error {
	if _, err := b.load(id); err != nil {
		return err
	}
	return b.create(id, suffixAnswer, answerFile{p, yes})
}

// Use marks the ticket as used by a peer, who gets the chain. Of several at a
// time exactly one wins: the same peer gets the chain of the first time, and
// another [ErrTicketUsed]. When Use returns nil, the mark is on the disk.
func (b *TicketBook) Use(id string, p peer.ID, c Chain, now time.Time) (Chain, error) {
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
		return nil, fmt.Errorf("%w: by %s", ErrTicketUsed, used.Peer)
	}
	return used.Chain, nil
}

// Refused notes a peer that came with the secret and was not let in.
func (b *TicketBook) Refused(id string, p peer.ID) error {
	if _, err := b.load(id); err != nil {
		return err
	}
	data, err := json.Marshal(answerFile{Peer: p})
	if err != nil {
		return err
	}
	return durable.WriteFile(b.path(id, suffixRefused), data, 0o600)
}

// State tells how a ticket stands. The error matches [ErrTicketUnknown].
func (b *TicketBook) State(id string) (TicketState, error) {
	t, err := b.load(id)
	if err != nil {
		return TicketState{}, err
	}
	s := TicketState{Invitation: t.Invitation}
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

// List returns all tickets that are remembered, the one that ends first first.
// Damaged ones are left out.
func (b *TicketBook) List() ([]TicketState, error) {
	ids, err := b.ids()
	if err != nil {
		return nil, err
	}
	var out []TicketState
	for _, id := range ids {
		if s, err := b.State(id); err == nil {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b TicketState) int { return a.Expires.Compare(b.Expires) })
	return out, nil
}

func (b *TicketBook) ids() (out []string, err error) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, fmt.Errorf("ticket book: %w", err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffixTicket); ok && validateTicketID(id) == nil {
			out = append(out, id)
		}
	}
	return out, nil
}

// brought counts the open tickets that members have brought.
type brought struct{ all, bySender int }

// prune forgets tickets that ended a day ago, and counts those that are open.
func (b *TicketBook) prune(now time.Time, sender peer.ID) (open int, by brought, err error) {
	ids, err := b.ids()
	if err != nil {
		return 0, by, err
	}
	for _, id := range ids {
		t, err := b.load(id)
		switch {
		case err != nil:
			open++ // not understood: keep it, and count it
		case now.Sub(t.Expires) > forgetAfter:
			if err := b.Remove(id); err != nil {
				return 0, by, err
			}
		case now.Before(t.Expires):
			open++
			if t.Sender != "" {
				by.all++
			}
			if t.Sender != "" && t.Sender == sender {
				by.bySender++
			}
		}
	}
	return open, by, nil
}

// Remove forgets a ticket: it can not be redeemed any more. It is no error when
// there is none.
func (b *TicketBook) Remove(id string) error {
	if err := validateTicketID(id); err != nil {
		return err
	}
	// The ticket goes first: without it the other files mean nothing.
	for _, suffix := range []string{suffixTicket, suffixUsed, suffixWaiting, suffixAnswer, suffixRefused} {
		if err := os.Remove(b.path(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("ticket book: %w", err)
		}
	}
	return durable.SyncDir(b.dir)
}
