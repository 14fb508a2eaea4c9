// Package ticket lets one machine into a fleet, once: the secret text of a ticket, the invitation
// that says what it is worth, and the book in which its redeemer keeps both.
package ticket

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
)

var (
	// ErrNotTicket: the text is something else.
	ErrNotTicket = errors.New("that is no ticket: it begins with " + prefix)
	// ErrAltered: a character is missing or wrong.
	ErrAltered = errors.New("the ticket was altered or cut: copy all of it again")
)

const (
	prefix        = "swarm1-"
	maxText       = 2 << 10
	maxAddrs      = 8
	secretLength  = 16
	idLength      = 13
	checksumBytes = 8
	maxExpires    = 253_402_300_799 // the year 9999, in Unix seconds
)

// Ticket lets one machine into a fleet, once. Whoever has its text may use it, so the text is a
// secret: only Encode returns it.
type Ticket struct {
	Fleet     trust.FleetID
	FleetName string
	// Redeemer is the only machine that can redeem the ticket, and Addrs are its addresses without
	// /p2p: at most 8.
	Redeemer peer.ID
	Addrs    []multiaddr.Multiaddr
	// ID names the ticket in logs and in the redeemer's book: 13 characters, no secret.
	ID     string
	Secret []byte
	Role   trust.Role
	Name   string
	Labels map[string]string
	// Expires is its end, to the second.
	Expires time.Time
}

// New completes a ticket with an ID and a secret.
func New(t Ticket) (*Ticket, error) {
	t.ID, t.Secret = rand.Text()[:idLength], make([]byte, secretLength)
	rand.Read(t.Secret) // never fails
	t.Expires = t.Expires.Truncate(time.Second)
	t.Addrs = t.Addrs[:min(len(t.Addrs), maxAddrs)]
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("make a ticket: %w", err)
	}
	return &t, nil
}

func (t *Ticket) validate() error {
	if _, err := trust.ParseFleetID(string(t.Fleet)); err != nil {
		return err
	}
	if err := t.Redeemer.Validate(); err != nil {
		return fmt.Errorf("redeemer: %w", err)
	}
	if err := trust.ValidateFleetName(t.FleetName); t.FleetName != "" && err != nil {
		return err
	}
	switch {
	case len(t.Addrs) > maxAddrs:
		return fmt.Errorf("%d addresses are more than %d", len(t.Addrs), maxAddrs)
	case len(t.ID) != idLength || validateID(t.ID) != nil:
		return fmt.Errorf("%.64q is no ticket ID", t.ID)
	case len(t.Secret) != secretLength:
		return fmt.Errorf("a secret of %d bytes, want %d", len(t.Secret), secretLength)
	case t.Expires.Unix() <= 0 || t.Expires.Unix() > maxExpires:
		return errors.New("its end makes no sense")
	}
	return (&trust.Grant{Role: t.Role, Name: t.Name, Labels: t.Labels}).ValidateTexts()
}

// String names the ticket without its secret.
func (t *Ticket) String() string { return fmt.Sprintf("ticket %s for %s %s", t.ID, t.Role, t.Name) }

// GoString names the ticket without its secret.
func (t *Ticket) GoString() string { return t.String() }

// LogValue names the ticket without its secret.
func (t *Ticket) LogValue() slog.Value { return slog.StringValue(t.String()) }

// packed is the form inside a ticket's text: short, since it is shown as a QR code.
type packed struct {
	_         struct{} `cbor:",toarray"`
	Fleet     []byte
	FleetName string
	Redeemer  []byte
	Addrs     [][]byte
	ID        string
	Secret    []byte
	Role      string
	Name      string
	Labels    map[string]string
	Expires   int64
}

// Encode returns the secret text of the ticket: the prefix, then base64 of CBOR and
// of the first 8 bytes of the SHA-256 of that.
func (t *Ticket) Encode() (string, error) {
	fleet, err := t.Fleet.Key()
	if err != nil {
		return "", fmt.Errorf("encode ticket: %w", err)
	}
	p := packed{
		Fleet: fleet, FleetName: t.FleetName, Redeemer: []byte(t.Redeemer), ID: t.ID, Secret: t.Secret,
		Role: string(t.Role), Name: t.Name, Labels: t.Labels, Expires: t.Expires.Unix(),
	}
	for _, a := range t.Addrs {
		p.Addrs = append(p.Addrs, a.Bytes())
	}
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return "", fmt.Errorf("encode ticket: %w", err)
	}
	data, err := mode.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode ticket: %w", err)
	}
	sum := sha256.Sum256(data)
	text := prefix + base64.RawURLEncoding.EncodeToString(append(data, sum[:checksumBytes]...))
	if len(text) > maxText {
		return "", fmt.Errorf("encode ticket: %d characters are more than %d: use fewer labels", len(text), maxText)
	}
	return text, nil
}

func unpack(data []byte) (*Ticket, error) {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, MaxNestedLevels: 4,
		MaxArrayElements: 64, MaxMapPairs: 64,
	}.DecMode()
	if err != nil {
		return nil, err
	}
	var p packed
	if err := mode.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	t := &Ticket{
		Fleet: trust.FleetOf(p.Fleet), FleetName: p.FleetName, ID: p.ID, Secret: p.Secret,
		Role: trust.Role(p.Role), Name: p.Name, Labels: p.Labels, Expires: time.Unix(p.Expires, 0),
	}
	if t.Redeemer, err = peer.IDFromBytes(p.Redeemer); err != nil {
		return nil, err
	}
	for _, b := range p.Addrs {
		a, err := multiaddr.NewMultiaddrBytes(b)
		if err != nil {
			return nil, err
		}
		t.Addrs = append(t.Addrs, a)
	}
	return t, t.validate()
}
