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

// frame encodes envelopes into a buffer that it reuses. Its zero value is ready to use; it is not
// for concurrent use.
type frame struct {
	buf bytes.Buffer
}

var frames = sync.Pool{New: func() any { return new(frame) }}

func (f *frame) release() {
	if f.buf.Cap() <= growStep {
		frames.Put(f)
	}
}

// encode returns the envelope as JSON, without its length prefix. The bytes are valid until the
// next encode.
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

// tooLargeError says that a frame announced more bytes than are allowed. What follows it on the
// stream cannot be understood any more.
type tooLargeError struct{ limit int }

func (e tooLargeError) Error() string {
	return fmt.Sprintf("a frame may have %d bytes at most", e.limit)
}

// growStep bounds what is allocated ahead of the bytes that really arrive.
const growStep = 64 << 10

// readFrame reads one length prefix and as many bytes into buf, which it grows as the bytes arrive.
// Before it reads more than smallFrame bytes it asks reserve, which may be nil. It returns io.EOF
// when the stream ends before the first byte.
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
	if n > smallFrame && reserve != nil {
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
