package streams

import (
	"bytes"
	"errors"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// sender is a peer whose ID as text is known, so that it need not be decoded again for each message
// of a connection.
type sender struct {
	id   peer.ID
	text string
}

func newSender(p peer.ID) sender { return sender{p, p.String()} }

// field is a bit for each name of the envelope that has been read.
type field uint8

const (
	fieldID field = 1 << iota
	fieldType
	fieldSender
	fieldPayload
	fieldTimestamp
)

// decoder is a JSON decoder that is used again and again: the tables with which it finds duplicate
// names are most of what decoding would allocate.
type decoder struct {
	buf bytes.Buffer
	dec *jsontext.Decoder
}

var decoders = sync.Pool{New: func() any {
	d := new(decoder)
	d.dec = jsontext.NewDecoder(&d.buf)
	return d
}}

// reset makes the decoder read b, in place: it does so for a bytes.Buffer.
func (d *decoder) reset(b []byte) *jsontext.Decoder {
	d.buf = *bytes.NewBuffer(b)
	d.dec.Reset(&d.buf)
	return d.dec
}

func (d *decoder) release() {
	d.reset(nil)
	decoders.Put(d)
}

// decodeEnvelope reads one envelope into m, whose Payload aliases b. Errors are of type *Error with
// CodeInvalid; m.ID is set when it was read before the error, so that the answer can name it.
func decodeEnvelope(b []byte, m *Message, known sender, depth int) error {
	if err := checkDepth(b, depth); err != nil {
		return err
	}
	d := decoders.Get().(*decoder)
	defer d.release()
	dec := d.reset(b)
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return notJSON(err)
		}
		return Errorf(CodeInvalid, "a message is a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return notJSON(err)
	}
	var seen field
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		f, set := fieldOf(name)
		value, err := dec.ReadValue()
		if err != nil {
			return notJSON(err)
		}
		if set == nil {
			continue
		}
		if err := set(m, value, known); err != nil {
			return err
		}
		seen |= f
	}
	if _, err := dec.ReadToken(); err != nil {
		return notJSON(err)
	}
	if rest := bytes.TrimLeft(b[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return Errorf(CodeInvalid, "%d bytes follow the message within its frame", len(rest))
	}
	return missing(seen)
}

func notJSON(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return Errorf(CodeInvalid, "duplicate name: %s", jsonReason(err))
	}
	return Errorf(CodeInvalid, "not valid JSON: %s", jsonReason(err))
}

func missing(seen field) error {
	for _, f := range []struct {
		bit  field
		name string
	}{{fieldID, "id"}, {fieldType, "type"}, {fieldSender, "sender"}, {fieldTimestamp, "timestamp"}} {
		if seen&f.bit == 0 {
			return Errorf(CodeInvalid, "the message has no %q", f.name)
		}
	}
	return nil
}

type setter func(m *Message, v jsontext.Value, known sender) error

// fieldOf returns how a member of the envelope is read, nil for a name that is not ours.
func fieldOf(name jsontext.Value) (field, setter) {
	if bytes.IndexByte(name, '\\') >= 0 {
		if plain, err := jsontext.AppendUnquote(nil, name); err == nil {
			name = jsontext.Value(`"` + string(plain) + `"`)
		}
	}
	switch string(name) {
	case `"id"`:
		return fieldID, setID
	case `"type"`:
		return fieldType, setType
	case `"sender"`:
		return fieldSender, setSender
	case `"payload"`:
		return fieldPayload, setPayload
	case `"timestamp"`:
		return fieldTimestamp, setTimestamp
	case `"replyTo"`:
		return 0, setReplyTo
	case `"end"`:
		return 0, setEnd
	}
	return 0, nil
}

func setID(m *Message, v jsontext.Value, _ sender) (err error) {
	m.ID, err = parseUUID(v, "id")
	return err
}

func setReplyTo(m *Message, v jsontext.Value, _ sender) (err error) {
	m.ReplyTo, err = parseUUID(v, "replyTo")
	return err
}

func setType(m *Message, v jsontext.Value, _ sender) error {
	s, err := text(v, "type")
	if err != nil {
		return err
	}
	t := Type(s)
	if !t.valid() {
		return Errorf(CodeInvalid, "type: want 1 to %d of [a-z0-9_]", MaxTypeLength)
	}
	m.Type = t
	return nil
}

func setSender(m *Message, v jsontext.Value, known sender) error {
	s, err := text(v, "sender")
	if err != nil {
		return err
	}
	if known.text != "" && string(s) == known.text {
		m.Sender = known.id
		return nil
	}
	m.Sender, err = peer.Decode(string(s))
	if err != nil {
		return Errorf(CodeInvalid, "sender: not a peer ID")
	}
	return nil
}

func setPayload(m *Message, v jsontext.Value, _ sender) error {
	m.Payload = v
	return nil
}

func setTimestamp(m *Message, v jsontext.Value, _ sender) error {
	s, err := text(v, "timestamp")
	if err != nil {
		return err
	}
	if err := m.Timestamp.UnmarshalText(s); err != nil {
		return Errorf(CodeInvalid, "timestamp: want RFC 3339, such as %s", timeLayout)
	}
	return nil
}

func setEnd(m *Message, v jsontext.Value, _ sender) error {
	switch v.Kind() {
	case 't', 'f':
		m.End = v.Kind() == 't'
		return nil
	}
	return Errorf(CodeInvalid, "end: want true or false")
}

// text returns the characters of a JSON string, in place when it has no escapes.
func text(v jsontext.Value, name string) ([]byte, error) {
	if v.Kind() != '"' {
		return nil, Errorf(CodeInvalid, "%s: want a string", name)
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], nil
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return nil, Errorf(CodeInvalid, "%s: %v", name, err)
	}
	return s, nil
}

func parseUUID(v jsontext.Value, name string) (uuid.UUID, error) {
	s, err := text(v, name)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.ParseBytes(s)
	// ParseBytes also takes braces and a URN, which have another length.
	if err != nil || len(s) != 36 || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		return uuid.Nil, Errorf(
			CodeInvalid, "%s: want a UUID of version 4, such as %s", name, "1b4e28ba-2fa1-4d27-883f-0016d3cca427")
	}
	return id, nil
}

// checkDepth refuses JSON that is nested deeper than limit. It runs before the parser, and is exact
// only where the number of brackets could exceed the limit: most messages have fewer and are passed
// by two counts.
func checkDepth(b []byte, limit int) error {
	if bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) <= limit {
		return nil
	}
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return Errorf(CodeInvalid, "JSON is nested deeper than %d", limit)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
