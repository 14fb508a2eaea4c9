package streams

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-varint"
)

// timeLayout is RFC 3339 with milliseconds, which every language parses.
const timeLayout = "2006-01-02T15:04:05.000Z"

// varintRoom is the length of the longest prefix: MaxFrame takes three bytes.
const varintRoom = 3

// header is the envelope without its payload.
type header struct {
	id        uuid.UUID
	typ       Type
	sender    string // the peer ID as text: made once for a node
	timestamp time.Time
	replyTo   uuid.UUID
	end       bool
}

// frame encodes envelopes into a buffer that it reuses. Its zero value is
// ready to use; it is not for concurrent use.
type frame struct {
	buf bytes.Buffer
}

var frames = sync.Pool{New: func() any { return new(frame) }}

func (f *frame) release() {
	if f.buf.Cap() <= growStep {
		frames.Put(f)
	}
}

// encode returns the envelope as JSON, without its length prefix. The bytes
// are valid until the next encode.
func (f *frame) encode(h header, payload any, limit int) ([]byte, error) {
	f.buf.Reset()
	f.buf.Write(make([]byte, varintRoom))
	b := f.buf.AvailableBuffer()
	b = append(b, `{"id":"`...)
	b = appendUUID(b, h.id)
	b = append(b, `","type":"`...)
	b = append(b, h.typ...)
	b = append(b, `","sender":"`...)
	b = append(b, h.sender...)
	if h.replyTo != uuid.Nil {
		b = append(b, `","replyTo":"`...)
		b = appendUUID(b, h.replyTo)
	}
	b = append(b, `","timestamp":"`...)
	b = h.timestamp.UTC().AppendFormat(b, timeLayout)
	b = append(b, '"')
	if h.end {
		b = append(b, `,"end":true`...)
	}
	b = append(b, `,"payload":`...)
	f.buf.Write(b)

	if raw, ok := payload.(jsontext.Value); ok && len(raw) == 0 {
		return nil, errors.New("the payload is missing")
	}
	if err := json.MarshalWrite(&f.buf, payload); err != nil {
		return nil, fmt.Errorf("encode the payload of %s: %w", h.typ, err)
	}
	f.buf.WriteByte('}')
	out := f.buf.Bytes()[varintRoom:]
	if len(out) > limit {
		return nil, Errorf(CodeTooLarge, "the %s message is %d bytes, over the limit of %d", h.typ, len(out), limit)
	}
	return out, nil
}

// encodeFrame returns the envelope behind its length prefix, in one piece.
func (f *frame) encodeFrame(h header, payload any, limit int) ([]byte, error) {
	body, err := f.encode(h, payload, limit)
	if err != nil {
		return nil, err
	}
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], uint64(len(body)))
	out := f.buf.Bytes()[varintRoom-n:]
	copy(out, prefix[:n])
	return out, nil
}

// appendUUID appends the canonical text of id.
func appendUUID(b []byte, id uuid.UUID) []byte {
	const hexDigits = "0123456789abcdef"
	for i, v := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hexDigits[v>>4], hexDigits[v&15])
	}
	return b
}

// byteReader is what a frame is read from: a bufio.Reader.
type byteReader interface {
	io.Reader
	io.ByteReader
}

// tooLargeError says that a frame announced more bytes than are allowed. What
// follows it on the stream cannot be understood any more.
type tooLargeError struct{ limit int }

func (e tooLargeError) Error() string {
	return fmt.Sprintf("a frame may have %d bytes at most", e.limit)
}

// growStep bounds what is allocated ahead of the bytes that really arrive.
const growStep = 64 << 10

// readFrame reads one length prefix and as many bytes into buf, which it grows
// as the bytes arrive. Before it reads more than growStep bytes it asks reserve,
// which may be nil. It returns io.EOF when the stream ends before the first byte.
func readFrame(r byteReader, buf []byte, limit int, reserve func(n int) error) ([]byte, error) {
	n, err := varint.ReadUvarint(r)
	switch {
	case errors.Is(err, varint.ErrOverflow), err == nil && n > uint64(limit):
		return buf, tooLargeError{limit}
	case errors.Is(err, varint.ErrNotMinimal):
		return buf, Errorf(CodeInvalid, "the length prefix is not in its shortest form")
	case err != nil:
		return buf, err
	}
	if n > growStep && reserve != nil {
		if err := reserve(int(n)); err != nil {
			return buf, err
		}
	}
	buf = buf[:0]
	for left := int(n); left > 0; {
		step := min(left, max(cap(buf)-len(buf), growStep))
		buf = slices.Grow(buf, step)
		at := len(buf)
		buf = buf[:at+step]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return buf, err
		}
		left -= step
	}
	return buf, nil
}

// sender is a peer whose ID as text is known, so that it need not be decoded
// again for each message of a connection.
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

// decoder is a JSON decoder that is used again and again: the tables with which
// it finds duplicate names are most of what decoding would allocate.
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

// decodeEnvelope reads one envelope into m, whose Payload aliases b. Errors are
// of type *Error with CodeInvalid; m.ID is set when it was read before the error, so that
// the answer can name it.
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

// fieldOf returns how a member of the envelope is read, nil for a name that is
// not ours.
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
		return uuid.Nil, Errorf(CodeInvalid, "%s: want a UUID of version 4, such as %s", name, "1b4e28ba-2fa1-4d27-883f-0016d3cca427")
	}
	return id, nil
}

// checkDepth refuses JSON that is nested deeper than limit. It runs before the
// parser, and is exact only where the number of brackets could exceed the
// limit: most messages have fewer and are passed by two counts.
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
