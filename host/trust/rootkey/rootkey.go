// Package rootkey keeps the root key of a fleet: in a file, sealed with a passphrase or not, and on
// a sheet of paper that a person can type in again.
package rootkey

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

var (
	// ErrPassphrase: the file is sealed with another passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrNeedPassphrase: the file is sealed, and no passphrase was given.
	ErrNeedPassphrase = errors.New("the root key needs its passphrase")
)

const (
	prefix        = "swarm-root-1 "
	agePrefix     = "age-encryption.org/"
	maxFile       = 4 << 10
	maxWorkFactor = 20 // 2^20 scrypt rounds are about a second and 1 GiB
	// DefaultWorkFactor is scrypt's cost as a power of two, as age chooses it.
	DefaultWorkFactor = 18
)

// Seal says how a root key is kept on the disk.
type Seal struct {
	// Passphrase encrypts the key with age. Empty means that the file itself is the secret.
	Passphrase string
	// WorkFactor is scrypt's cost as a power of two, at most 20; 0 means DefaultWorkFactor.
	WorkFactor int
}

// Save writes a root key to a new file, readable by its owner alone. The key is on the disk when
// the error is nil. A file that is already there is kept, and the error matches fs.ErrExist.
func Save(path string, root *trust.Root, s Seal) error {
	data := []byte(prefix + seedOf(root) + "\n")
	if s.Passphrase != "" {
		var err error
		if data, err = seal(data, s); err != nil {
			return fmt.Errorf("seal the root key: %w", err)
		}
	}
	return durable.CreateFile(path, data, 0o600)
}

// Load reads what Save has written. The passphrase is ignored for a key that is not sealed. Errors
// to act on are [ErrPassphrase], [ErrNeedPassphrase], and fs.ErrNotExist.
func Load(path, passphrase string) (*trust.Root, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	root, err := parse(data, passphrase)
	if err != nil {
		return nil, fmt.Errorf("root key %s: %w", path, err)
	}
	return root, nil
}

func parse(data []byte, passphrase string) (*trust.Root, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: more than %d bytes", trust.ErrInvalid, maxFile)
	}
	if bytes.HasPrefix(data, []byte(agePrefix)) {
		var err error
		if data, err = unseal(data, passphrase); err != nil {
			return nil, err
		}
	}
	seed, ok := strings.CutPrefix(string(data), prefix)
	if !ok {
		return nil, fmt.Errorf("%w: not a root key", trust.ErrInvalid)
	}
	return fromSeed(strings.TrimSuffix(seed, "\n"))
}

// text32 is base32 in lower case without padding: easy to read out and to select.
var text32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func seedOf(r *trust.Root) string { return text32.EncodeToString(r.Seed()) }

func fromSeed(text string) (*trust.Root, error) {
	seed, err := text32.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize || text32.EncodeToString(seed) != text {
		return nil, fmt.Errorf("%w: not a root key", trust.ErrInvalid)
	}
	return trust.RootFromSeed(seed)
}

func seal(data []byte, s Seal) ([]byte, error) {
	to, err := age.NewScryptRecipient(s.Passphrase)
	if err != nil {
		return nil, err
	}
	if s.WorkFactor < 0 || s.WorkFactor > maxWorkFactor {
		return nil, fmt.Errorf("work factor %d is not between 1 and %d", s.WorkFactor, maxWorkFactor)
	}
	if s.WorkFactor == 0 {
		s.WorkFactor = DefaultWorkFactor
	}
	to.SetWorkFactor(s.WorkFactor)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unseal(data []byte, passphrase string) ([]byte, error) {
	if passphrase == "" {
		return nil, ErrNeedPassphrase
	}
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	id.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(bytes.NewReader(data), id)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", trust.ErrInvalid, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", trust.ErrInvalid, err)
	}
	return out, nil
}
