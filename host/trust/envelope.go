package trust

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
)

// kind is one kind of signed value. Its domain string keeps a signature from being used for another
// kind, and its codec names the payload inside.
type kind struct {
	domain string
	codec  string
	max    int // bytes of the whole envelope
}

// sealed makes a value the payload of a libp2p envelope. It is passed to libp2p and never
// registered there, since that registry is one for the whole process.
type sealed[T any] struct {
	kind  kind
	value *T
}

var _ record.Record = (*sealed[Grant])(nil)

func (s *sealed[T]) Domain() string { return s.kind.domain }
func (s *sealed[T]) Codec() []byte  { return []byte(s.kind.codec) }

func (s *sealed[T]) MarshalRecord() ([]byte, error) {
	return json.Marshal(s.value, json.Deterministic(true))
}

// UnmarshalRecord refuses members it does not know: nothing that a newer
// program would obey may ride along unseen in what this one has verified.
func (s *sealed[T]) UnmarshalRecord(data []byte) error {
	return json.Unmarshal(data, s.value, json.RejectUnknownMembers(true))
}

// seal signs a value. It refuses what open would refuse for its size.
func seal[T any](k kind, value *T, key crypto.PrivKey) ([]byte, error) {
	env, err := record.Seal(&sealed[T]{k, value}, key)
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", k.domain, err)
	}
	data, err := env.Marshal()
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", k.domain, err)
	}
	if len(data) > k.max {
		return nil, fmt.Errorf("sign %s: %d bytes are more than %d", k.domain, len(data), k.max)
	}
	return data, nil
}

// opened is a value with a right signature, whoever's it is.
type opened[T any] struct {
	value  T
	signer peer.ID
	id     ID
}

// open checks size, signature, kind and form of a signed value. The caller judges which signer it
// is, and whether that may say this.
func open[T any](k kind, data []byte) (*opened[T], error) {
	if len(data) > k.max {
		return nil, fmt.Errorf("%w: %s of %d bytes, more than %d", ErrInvalid, k.domain, len(data), k.max)
	}
	var o opened[T]
	env, err := record.ConsumeTypedEnvelope(data, &sealed[T]{k, &o.value})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, k.domain, err)
	}
	if !bytes.Equal(env.PayloadType, []byte(k.codec)) {
		return nil, fmt.Errorf("%w: %s with a payload of another kind", ErrInvalid, k.domain)
	}
	// A signed value has one form: fields that protobuf would skip, or an odd spelling of the known
	// ones, are refused.
	if again, err := env.Marshal(); err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: %s is not in its plain form", ErrInvalid, k.domain)
	}
	if o.signer, err = peer.IDFromPublicKey(env.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, k.domain, err)
	}
	o.id = k.id(env.RawPayload)
	return &o, nil
}

// id names a signed value.
func (k kind) id(payload []byte) ID {
	return sha256.Sum256(slices.Concat([]byte(k.domain), []byte{0}, payload))
}
