package stratum

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// Limits of a job.
const (
	// MaxBranches bounds the merkle branches: a block has fewer than 2^32 transactions.
	MaxBranches = 32
	// MaxExtranonce bounds an extranonce in bytes.
	MaxExtranonce = 16
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
	PrevHash             Hash
	Coinbase1, Coinbase2 []byte
	Branches             []Hash
	Version, Bits, Time  uint32
	Clean                bool // all jobs before this one are worthless
}

// ParseJob reads the parameters of mining.notify.
func ParseJob(m Message) (Job, error) {
	var j Job
	var prev, coinbase1, coinbase2, version, bits, time string
	var branches []string
	if err := m.Args(&j.ID, &prev, &coinbase1, &coinbase2, &branches, &version, &bits, &time, &j.Clean); err != nil {
		return Job{}, err
	}
	if len(branches) > MaxBranches || len(j.ID) > 64 {
		return Job{}, fmt.Errorf("%w: job with %d branches and an ID of %d bytes", ErrLine, len(branches), len(j.ID))
	}
	d := hexReader{}
	d.hash(&j.PrevHash, prev)
	j.PrevHash = swapWords(j.PrevHash)
	j.Coinbase1, j.Coinbase2 = d.bytes(coinbase1), d.bytes(coinbase2)
	j.Branches = make([]Hash, len(branches))
	for i, b := range branches {
		d.hash(&j.Branches[i], b)
	}
	j.Version, j.Bits, j.Time = d.uint32(version), d.uint32(bits), d.uint32(time)
	return j, d.err
}

// Params are the parameters of mining.notify for the job.
func (j Job) Params() []any {
	branches := make([]string, len(j.Branches))
	for i, b := range j.Branches {
		branches[i] = hex.EncodeToString(b[:])
	}
	prev := swapWords(j.PrevHash)
	return []any{j.ID, hex.EncodeToString(prev[:]), hex.EncodeToString(j.Coinbase1), hex.EncodeToString(j.Coinbase2),
		branches, Hex32(j.Version), Hex32(j.Bits), Hex32(j.Time), j.Clean}
}

// Hex32 writes a number as stratum does, the most significant byte first.
func Hex32(n uint32) string { return fmt.Sprintf("%08x", n) }

// ParseHex32 reads what Hex32 writes.
func ParseHex32(s string) (uint32, error) {
	d := hexReader{}
	n := d.uint32(s)
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

func (d *hexReader) bytes(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("%w: %w", ErrLine, err)
	}
	return b
}

func (d *hexReader) fixed(s string, size int) []byte {
	b := d.bytes(s)
	if len(b) == size {
		return b
	}
	if d.err == nil {
		d.err = fmt.Errorf("%w: %d hex bytes, need %d", ErrLine, len(b), size)
	}
	return make([]byte, size)
}

func (d *hexReader) hash(h *Hash, s string) { copy(h[:], d.fixed(s, len(h))) }
func (d *hexReader) uint32(s string) uint32 { return binary.BigEndian.Uint32(d.fixed(s, 4)) }
