package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// state is how far a request got.
type state string

const (
	begun state = "begun"
	done  state = "done"
	void  state = "void" // it had no effect, and may be repeated
)

// record is what a line says of one request, without its key. The one with the answer repeats the
// hash, so that the line before it need not be there.
type record struct {
	Hash    []byte         `json:"hash"`
	Time    int64          `json:"time"` // Unix ms
	State   state          `json:"state"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Err     *streams.Error `json:"error,omitzero"`
	Short   bool           `json:"short,omitzero"` // the answer was too long to be kept
}

// line is a record as it is on the disk, after the checksum.
type line struct {
	Peer   string    `json:"peer"`
	ID     uuid.UUID `json:"id"`
	record `json:",inline"`
}

// ended is the record of what came of a request.
func ended(e streams.Effect, p streams.Past, now time.Time) record {
	r := record{Hash: e.Hash[:], Time: now.UnixMilli(), State: done, Payload: p.Payload, Err: p.Err}
	switch {
	case p.NoEffect:
		r.State, r.Payload, r.Err = void, nil, nil
	case len(p.Payload) > maxAnswer:
		r.Payload, r.Short = nil, true
	}
	return r
}

// past is what the record says to one who repeats the request.
func (r record) past() *streams.Past {
	p := &streams.Past{Ended: r.State == done, Payload: r.Payload, Err: r.Err, Short: r.Short}
	copy(p.Hash[:], r.Hash)
	return p
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(text []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) }

// line returns the record as a line: eight hexadecimal digits of CRC-32C, a space, and JSON.
func (r record) line(k key) ([]byte, error) {
	text, err := json.Marshal(line{k.peer.String(), k.id, r})
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	return fmt.Appendf(nil, "%s %s\n", checksum(text), text), nil
}

// keyed is a record with its key.
type keyed struct {
	key
	record
}

// contents is what a file holds.
type contents struct {
	all     []keyed
	good    []byte // the lines that are whole
	size    int64  // of the file up to the end of the last line
	damaged int    // lines that are not
}

// parse reads a file. What follows its last line end is a record that was being written when the
// power went: nothing was done on its word.
func parse(b []byte) (c contents) {
	whole := b[:bytes.LastIndexByte(b, '\n')+1]
	c.size = int64(len(whole))
	for text := range bytes.Lines(whole) {
		r, err := parseLine(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil {
			c.damaged++
			continue
		}
		c.all, c.good = append(c.all, r), append(c.good, text...)
	}
	if c.damaged > 0 {
		c.size = int64(len(c.good))
	}
	return c
}

func parseLine(text []byte) (keyed, error) {
	sum, text, ok := bytes.Cut(text, []byte(" "))
	if !ok || string(sum) != checksum(text) {
		return keyed{}, errors.New("a line's checksum is wrong")
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return keyed{}, err
	}
	id, err := peer.Decode(l.Peer)
	if err != nil {
		return keyed{}, err
	}
	if len(l.Hash) != sha256.Size {
		return keyed{}, fmt.Errorf("a hash has %d bytes", len(l.Hash))
	}
	return keyed{key{id, l.ID}, l.record}, nil
}
