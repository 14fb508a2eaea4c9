package stratum

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a job.
const (
	// MaxBranches bounds the merkle branches: a block has fewer than 2^32 transactions.
	MaxBranches = 32
	// MaxExtranonce bounds an extranonce in bytes: a coinbase has room for a hundred.
	MaxExtranonce = 64
	// defaultSize2 is how many bytes the miner adds where a pool does not say it.
	defaultSize2 = 4
	maxJobID     = 256 // bytes
)

// Hash is a double SHA-256, as it is computed: the least significant byte first.
type Hash [32]byte

// String is the hash as people write it, the most significant byte first.
func (h Hash) String() string {
	slices.Reverse(h[:])
	return hex.EncodeToString(h[:])
}

// Sum is Bitcoin's hash function.
func Sum(b []byte) Hash {
	first := sha256.Sum256(b)
	return sha256.Sum256(first[:])
}

// Job is the work a pool gives out. The coinbase transaction is Coinbase1, both extranonces,
// Coinbase2.
type Job struct {
	ID                   string
	Number               bool // the pool gave the ID as a number, and may want it so
	PrevHash             Hash
	Coinbase1, Coinbase2 []byte
	Branches             []Hash
	Version, Bits, Time  uint32
	Clean                bool // all jobs before this one are worthless
}

// ParseJob reads the parameters of mining.notify.
func ParseJob(m Message) (Job, error) {
	v := Values(m.Params, "job_id", "prevhash", "coinb1", "coinb2", "merkle_branch", "version", "nbits", "ntime",
		"clean_jobs")
	id, ok := Text(at(v, 0))
	branches := Values(at(v, 4))
	if !ok || len(id) > maxJobID || len(branches) > MaxBranches {
		return Job{}, fmt.Errorf("%w: job with %d branches and the ID %.40q", ErrLine, len(branches), id)
	}
	j := Job{ID: id, Number: v[0].Kind() == '0', Branches: make([]Hash, len(branches)), Clean: Yes(at(v, 8), true)}
	d := hexReader{}
	j.PrevHash = swapWords(d.hash(at(v, 1)))
	j.Coinbase1, j.Coinbase2 = d.bytes(at(v, 2)), d.bytes(at(v, 3))
	for i, b := range branches {
		j.Branches[i] = d.hash(b)
	}
	j.Version, j.Bits, j.Time = d.uint32(at(v, 5)), d.uint32(at(v, 6)), d.uint32(at(v, 7))
	return j, d.err
}

// Name is the ID as the pool wrote it.
func (j Job) Name() any {
	if j.Number {
		return jsontext.Value(j.ID)
	}
	return j.ID
}

// Params are the parameters of mining.notify for the job.
func (j Job) Params() []any {
	branches := make([]string, len(j.Branches))
	for i, b := range j.Branches {
		branches[i] = hex.EncodeToString(b[:])
	}
	prev := swapWords(j.PrevHash)
	return []any{j.Name(), hex.EncodeToString(prev[:]), hex.EncodeToString(j.Coinbase1), hex.EncodeToString(j.Coinbase2),
		branches, Hex32(j.Version), Hex32(j.Bits), Hex32(j.Time), j.Clean}
}

// Extranonce is the part of the coinbase that a pool gives to one connection, and how many bytes
// the miner adds.
type Extranonce struct {
	First []byte
	Size2 int
}

// ParseExtranonce reads mining.set_extranonce. What is left out is as before.
func ParseExtranonce(m Message, before Extranonce) (Extranonce, error) {
	v := Values(m.Params, "extranonce1", "extranonce2_size")
	return extranonce(at(v, 0), at(v, 1), before)
}

// ParseSubscribed reads the answer to mining.subscribe: the names of subscriptions, which say
// nothing, and what [ParseExtranonce] reads.
func ParseSubscribed(m Message) (Extranonce, error) {
	v := Values(m.Result, "subscriptions", "extranonce1", "extranonce2_size")
	if _, short := Int(at(v, 1)); len(v) == 2 && short && v[0].Kind() == '"' {
		v = append([]jsontext.Value{nil}, v...)
	}
	return extranonce(at(v, 1), at(v, 2), Extranonce{Size2: defaultSize2})
}

func extranonce(first, size2 jsontext.Value, before Extranonce) (Extranonce, error) {
	text, ok := Text(first)
	if !ok && given(first) || !given(first) && !given(size2) {
		return before, fmt.Errorf("%w: extranonce %.40q", ErrLine, first)
	}
	e := before
	if ok {
		d := hexReader{}
		if e.First = d.hex(text); d.err != nil {
			return before, d.err
		}
	}
	if n, ok := Int(size2); ok {
		e.Size2 = n
	}
	if len(e.First) > MaxExtranonce || e.Size2 < 0 || e.Size2 > MaxExtranonce {
		return before, fmt.Errorf("%w: extranonce %.40q with %d bytes to follow", ErrLine, text, e.Size2)
	}
	return e, nil
}

// Hex32 writes a number as stratum does, the most significant byte first.
func Hex32(n uint32) string { return fmt.Sprintf("%08x", n) }

// ParseHex32 reads what Hex32 writes.
func ParseHex32(s string) (uint32, error) {
	d := hexReader{}
	n := binary.BigEndian.Uint32(d.fixed(s, 4))
	return n, d.err
}

// swapWords turns around the bytes of each word: stratum sends the hash of the previous block as
// eight numbers with the most significant byte first, a header holds them with the least
// significant first.
func swapWords(h Hash) Hash {
	for i := 0; i < len(h); i += 4 {
		slices.Reverse(h[i : i+4])
	}
	return h
}

// Header is the 80 bytes that are hashed. The nonce is its last four.
type Header [80]byte

// Header builds the block header for a pair of extranonces, with nonce 0.
func (j Job) Header(extranonce1, extranonce2 []byte) Header {
	root := Sum(slices.Concat(j.Coinbase1, extranonce1, extranonce2, j.Coinbase2))
	for _, b := range j.Branches {
		root = Sum(append(root[:], b[:]...))
	}
	var h Header
	binary.LittleEndian.PutUint32(h[0:], j.Version)
	copy(h[4:], j.PrevHash[:])
	copy(h[36:], root[:])
	binary.LittleEndian.PutUint32(h[68:], j.Time)
	binary.LittleEndian.PutUint32(h[72:], j.Bits)
	return h
}

// Hash sets the nonce and hashes the header.
func (h *Header) Hash(nonce uint32) Hash {
	binary.LittleEndian.PutUint32(h[76:], nonce)
	return Sum(h[:])
}

// Target is the largest hash that counts, as four numbers with the most significant first.
type Target [4]uint64

// Met reports whether the hash counts.
func (t *Target) Met(h *Hash) bool {
	for i := range t {
		if n := binary.LittleEndian.Uint64(h[24-8*i:]); n != t[i] {
			return n < t[i]
		}
	}
	return true
}

// TargetOf turns a pool's difficulty, which may be a fraction, into a target. Difficulty 1 is 2^32
// hashes on average. What is not a positive number gives the hardest target, which nothing meets.
func TargetOf(difficulty float64) Target {
	if !(difficulty > 0) || math.IsInf(difficulty, 1) {
		return Target{}
	}
	one := new(big.Int).Lsh(big.NewInt(0xffff), 208)
	q := new(big.Rat).Quo(new(big.Rat).SetInt(one), new(big.Rat).SetFloat64(difficulty))
	n := new(big.Int).Quo(q.Num(), q.Denom())
	if n.BitLen() > 256 {
		return Target{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}
	}
	var b [32]byte
	n.FillBytes(b[:])
	var t Target
	for i := range t {
		t[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return t
}

// hexReader keeps the first error of several conversions.
type hexReader struct{ err error }

// hex reads digits, with or without 0x; an odd number of them has lost a leading 0.
func (d *hexReader) hex(s string) []byte {
	s = strings.TrimSpace(s)
	if len(s) > 1 && (s[:2] == "0x" || s[:2] == "0X") {
		s = s[2:]
	}
	if len(s)%2 == 1 {
		s = "0" + s
	}
	b, err := hex.DecodeString(s)
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("%w: %w", ErrLine, err)
	}
	return b
}

// fixed fills up small numbers with leading zeros.
func (d *hexReader) fixed(s string, size int) []byte {
	b := d.hex(s)
	if len(b) > 0 && len(b) < size && size == 4 {
		return append(make([]byte, size-len(b)), b...)
	}
	if len(b) == size {
		return b
	}
	if d.err == nil {
		d.err = fmt.Errorf("%w: %d hex bytes, need %d", ErrLine, len(b), size)
	}
	return make([]byte, size)
}

func (d *hexReader) text(v jsontext.Value) string {
	s, ok := Text(v)
	if !ok && given(v) && d.err == nil {
		d.err = fmt.Errorf("%w: %.40q is no text", ErrLine, v)
	}
	return s
}

func (d *hexReader) bytes(v jsontext.Value) []byte { return d.hex(d.text(v)) }
func (d *hexReader) hash(v jsontext.Value) Hash    { return Hash(d.fixed(d.text(v), len(Hash{}))) }

// uint32 reads hex digits; a number that is no text is one.
func (d *hexReader) uint32(v jsontext.Value) uint32 {
	if n, ok := Int(v); ok && v.Kind() == '0' && n >= 0 && n <= math.MaxUint32 {
		return uint32(n)
	}
	return binary.BigEndian.Uint32(d.fixed(d.text(v), 4))
}
