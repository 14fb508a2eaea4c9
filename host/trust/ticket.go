package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

var (
	// ErrNoTicket: the text is something else.
	ErrNoTicket = errors.New("that is no ticket: it begins with " + ticketPrefix)
	// ErrTicketAltered: a character is missing or wrong.
	ErrTicketAltered = errors.New("the ticket was altered or cut: copy all of it again")
)

const (
	ticketPrefix  = "swarm1-"
	maxTicketText = 2 << 10
	maxTicketAddr = 8
	secretLength  = 16
	checksumBytes = 8
)

// Ticket lets one machine into a fleet, once. Whoever has its text may use it, so
// that is a secret; it is printed only by Encode.
type Ticket struct {
	Fleet     FleetID
	FleetName string
	// Redeemer is the only one who can redeem it, and Addrs where that is,
	// without /p2p: at most 8.
	Redeemer peer.ID
	Addrs    []multiaddr.Multiaddr
	// ID names the ticket in logs and in the redeemer's book. It is no secret.
	ID     string
	Secret []byte
	Role   Role
	Name   string
	Labels map[string]string
	// Expires is its end, to the second.
	Expires time.Time
}

// NewTicket completes a ticket with an ID and a secret.
func NewTicket(t Ticket) (*Ticket, error) {
	t.ID, t.Secret = newSerial()[:13], make([]byte, secretLength)
	rand.Read(t.Secret) // never fails
	t.Expires = t.Expires.Truncate(time.Second)
	t.Addrs = t.Addrs[:min(len(t.Addrs), maxTicketAddr)]
	if err := t.validate(); err != nil {
		return nil, fmt.Errorf("make a ticket: %w", err)
	}
	return &t, nil
}

func (t *Ticket) validate() error {
	if _, err := t.Fleet.signer(); err != nil {
		return err
	}
	if err := t.Redeemer.Validate(); err != nil {
		return fmt.Errorf("redeemer: %w", err)
	}
	switch {
	case len(t.FleetName) > maxFleetName || !plain(t.FleetName):
		return fmt.Errorf("%q is no name for a fleet", shorten(t.FleetName))
	case len(t.Addrs) > maxTicketAddr:
		return fmt.Errorf("%d addresses are more than %d", len(t.Addrs), maxTicketAddr)
	case len(t.ID) != 13 || !upper32(t.ID):
		return fmt.Errorf("%q is no ticket ID", shorten(t.ID))
	case len(t.Secret) != secretLength:
		return fmt.Errorf("a secret of %d bytes, want %d", len(t.Secret), secretLength)
	case t.Expires.Unix() <= 0 || t.Expires.UnixMilli() > maxMillis:
		return errors.New("its end makes no sense")
	}
	return validateGiven(t.Role, nil, "", t.Name, t.Labels)
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
	fleet, err := text32.DecodeString(string(t.Fleet))
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
	text := ticketPrefix + base64.RawURLEncoding.EncodeToString(append(data, sum[:checksumBytes]...))
	if len(text) > maxTicketText {
		return "", fmt.Errorf("encode ticket: %d characters are more than %d: use fewer labels", len(text), maxTicketText)
	}
	return text, nil
}

// ParseTicket reads the text of a ticket; white space in it, as from a pasted
// line that was broken, does not matter. The error matches [ErrNoTicket] or
// [ErrTicketAltered].
func ParseTicket(text string) (*Ticket, error) {
	if len(text) > 2*maxTicketText {
		return nil, ErrNoTicket
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	text, ok := strings.CutPrefix(text, ticketPrefix)
	if !ok {
		return nil, ErrNoTicket
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) <= checksumBytes || len(text) > maxTicketText {
		return nil, ErrTicketAltered
	}
	data, told := data[:len(data)-checksumBytes], data[len(data)-checksumBytes:]
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:checksumBytes], told) {
		return nil, ErrTicketAltered
	}
	t, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTicketAltered, err)
	}
	return t, nil
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
		Fleet: FleetID(text32.EncodeToString(p.Fleet)), FleetName: p.FleetName, ID: p.ID, Secret: p.Secret,
		Role: Role(p.Role), Name: p.Name, Labels: p.Labels, Expires: time.Unix(p.Expires, 0),
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
