package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/byteword"
)

// text32 is base32 in lower case without padding: easy to read out and to select.
var text32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// FleetID is the public key of a fleet's root as text: 52 characters of a-z and 2-7. The empty
// FleetID means no fleet.
type FleetID string

// shortLength is the number of characters in protocol IDs and topics.
const shortLength = 16

// ParseFleetID checks a text.
func ParseFleetID(text string) (FleetID, error) {
	key, err := text32.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize || text32.EncodeToString(key) != text {
		return "", fmt.Errorf("%q is no fleet ID", shorten(text))
	}
	return FleetID(text), nil
}

// Short returns the first 16 characters, or all of a shorter text.
func (f FleetID) Short() string { return string(f[:min(len(f), shortLength)]) }

// Fingerprint returns eight words that two people can compare: 64 bits of the SHA-256 of the ID.
func (f FleetID) Fingerprint() string {
	sum := sha256.Sum256([]byte(f))
	return byteword.Text(sum[:8])
}

// FleetOf returns the ID of the fleet whose root has this public key.
func FleetOf(root ed25519.PublicKey) FleetID { return FleetID(text32.EncodeToString(root)) }

// Key returns the public key of the root.
func (f FleetID) Key() (ed25519.PublicKey, error) {
	if _, err := ParseFleetID(string(f)); err != nil {
		return nil, err
	}
	return text32.DecodeString(string(f))
}

// signer returns the peer ID of the root key.
func (f FleetID) signer() (peer.ID, error) {
	raw, err := f.Key()
	if err != nil {
		return "", err
	}
	key, err := crypto.UnmarshalEd25519PublicKey(raw)
	if err != nil {
		return "", fmt.Errorf("fleet ID: %w", err)
	}
	return peer.IDFromPublicKey(key)
}

// Root is the key that a fleet begins with. Whoever has it owns the fleet: keep it apart from the
// controller's daily key. It never changes and may be used concurrently. Its zero value is of no
// use.
type Root struct {
	key ed25519.PrivateKey
}

// NewRoot makes the root of a new fleet.
func NewRoot() (*Root, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a root key: %w", err)
	}
	return &Root{key}, nil
}

// Fleet returns the ID of the fleet.
func (r *Root) Fleet() FleetID {
	return FleetOf(r.key.Public().(ed25519.PublicKey))
}

// Signer returns what signs statements as the root.
func (r *Root) Signer() (*Signer, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(bytes.Clone(r.key))
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	return newSigner(r.Fleet(), key, nil, nil)
}

// String hides the key from logs.
func (r *Root) String() string { return "root of " + r.Fleet().Short() }

// GoString hides the key from %#v.
func (r *Root) GoString() string { return r.String() }

// Seed returns the secret that the key is made from: 32 bytes, for a backup.
func (r *Root) Seed() []byte { return r.key.Seed() }

// RootFromSeed returns the root whose Seed this is.
func RootFromSeed(seed []byte) (*Root, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: a root key of %d bytes", ErrInvalid, len(seed))
	}
	return &Root{ed25519.NewKeyFromSeed(seed)}, nil
}

func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
