package streams

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Message is the envelope that every message travels in.
//
// Most programs never see one: [Call], [Feed], [Upload], [Notice] and [Topic] make and check them.
// It is exported for those who handle raw messages.
type Message struct {
	ID        uuid.UUID // version 4, unique for every message
	Type      Type
	Sender    peer.ID
	Payload   jsontext.Value // a JSON value that is not null; usually an object
	Timestamp time.Time
	ReplyTo   uuid.UUID // ID of the request; zero in a request
	End       bool      // the last item of a feed
}

// NewMessage returns a message with a new ID, the present time and the payload.
func NewMessage(sender peer.ID, t Type, payload any) (*Message, error) {
	m := &Message{ID: uuid.New(), Type: t, Sender: sender, Timestamp: time.Now()}
	return m, m.SetPayload(payload)
}

// Reply returns a message that answers m.
func (m *Message) Reply(sender peer.ID, t Type, payload any) (*Message, error) {
	r, err := NewMessage(sender, t, payload)
	r.ReplyTo = m.ID
	return r, err
}

// SetPayload encodes v as the payload.
func (m *Message) SetPayload(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the payload of %s: %w", m.Type, err)
	}
	m.Payload = b
	return nil
}

// ParsePayload decodes the payload into v, a pointer, and validates it when v has a Validate
// method. The error is an [Error] with [CodeInvalid].
//
// Members are found by the names in the JSON tags of v's fields, exactly; in a type with a field that
// has none, also by the name of the Go field, in any case of its letters.
func (m *Message) ParsePayload(v any) error {
	return parsePayload(m.Payload, v, readingOf(reflect.TypeOf(v)))
}

// ValidateResponse reports why resp is not the answer of type want to req from the peer that req
// was sent to. An error message for this request is returned as the [Error] it carries.
func ValidateResponse(req, resp *Message, to peer.ID, want Type) error {
	switch {
	case resp.Sender != to:
		return fmt.Errorf("reply comes from %s, not from %s", resp.Sender, to)
	case resp.Type == typeError && (resp.ReplyTo == req.ID || resp.ReplyTo == uuid.Nil):
		e := new(Error)
		if err := resp.ParsePayload(e); err != nil {
			return fmt.Errorf("error message: %s", err.Error()) // not an Error of the peer
		}
		return e
	case resp.ReplyTo != req.ID:
		return fmt.Errorf("reply is to %s, not to %s", resp.ReplyTo, req.ID)
	case resp.Type != want:
		return fmt.Errorf("reply has type %s, not %s", resp.Type, want)
	}
	return nil
}

// MarshalJSON returns the envelope as it is on the wire.
func (m *Message) MarshalJSON() ([]byte, error) {
	if !m.Type.valid() {
		return nil, fmt.Errorf("encode a message: type %q: want 1 to 64 of [a-z0-9_]", m.Type)
	}
	var f frame
	b, err := f.encode(header{m.ID, m.Type, m.Sender.String(), m.Timestamp, m.ReplyTo, m.End}, m.Payload, MaxFrame)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// UnmarshalJSON reads an envelope strictly: valid UTF-8, no duplicate names, nothing missing,
// nothing after it. Unknown names are ignored.
func (m *Message) UnmarshalJSON(b []byte) error {
	*m = Message{}
	if err := decodeEnvelope(b, m, sender{}, maxDepth); err != nil {
		return err
	}
	m.Payload = m.Payload.Clone()
	return nil
}

// validator is what a payload with rules implements.
type validator interface{ Validate() error }

// validate calls the Validate method of what v points to, if it has one. The payload type may be a
// pointer itself.
func validate(v any) error {
	if val, ok := v.(validator); ok {
		return val.Validate()
	}
	if p := reflect.ValueOf(v).Elem(); p.Kind() == reflect.Pointer && !p.IsNil() {
		return validate(p.Interface())
	}
	return nil
}

// jsonReason says where and why JSON could not be read, without Go's type names.
func jsonReason(err error) string {
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		where := string(e.JSONPointer)
		if where == "" {
			where = "/"
		}
		if e.Err != nil {
			return fmt.Sprintf("%s: %v", where, e.Err)
		}
		return fmt.Sprintf("%s: a JSON %s does not fit here", where, e.JSONKind)
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("byte %d: %v", e.ByteOffset, e.Err)
	}
	return err.Error()
}
