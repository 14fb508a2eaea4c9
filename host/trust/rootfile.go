package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

var (
	// ErrPassphrase: the root key's file is sealed with another passphrase.
	ErrPassphrase = errors.New("wrong passphrase")
	// ErrNeedPassphrase: the root key's file is sealed and none was given.
	ErrNeedPassphrase = errors.New("the root key needs its passphrase")
)

const (
	rootPrefix    = "swarm-root-1 "
	agePrefix     = "age-encryption.org/"
	maxRootFile   = 4 << 10
	maxWorkFactor = 20 // 2^20 scrypt rounds are about a second and 1 GiB
	// DefaultWorkFactor is scrypt's cost as a power of two, as age chooses it.
	DefaultWorkFactor = 18
)

// Seal says how the root key lies on the disk.
type Seal struct {
	// Passphrase encrypts the key with age. Empty means that the file itself
	// is the secret.
	Passphrase string
	// WorkFactor is the cost of guessing as a power of two, at most 20; 0 means
	// DefaultWorkFactor. Tests take a small one.
	WorkFactor int
}

// Save writes the root key to a new file, readable by its owner alone. It is
// on the disk when Save returns nil. A file that is already there is kept, and
// the error matches fs.ErrExist.
func (r *Root) Save(path string, s Seal) error {
	data := []byte(rootPrefix + r.seed() + "\n")
	if s.Passphrase != "" {
		var err error
		if data, err = sealRoot(data, s); err != nil {
			return fmt.Errorf("seal the root key: %w", err)
		}
	}
	return durable.CreateFile(path, data, 0o600)
}

// LoadRoot reads what Save has written. The passphrase is ignored for a key
// that is not sealed. Errors to act on are [ErrPassphrase],
// [ErrNeedPassphrase], and fs.ErrNotExist.
func LoadRoot(path, passphrase string) (*Root, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	root, err := parseRoot(data, passphrase)
	if err != nil {
		return nil, fmt.Errorf("root key %s: %w", path, err)
	}
	return root, nil
}

func parseRoot(data []byte, passphrase string) (*Root, error) {
	if len(data) > maxRootFile {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInvalid, maxRootFile)
	}
	if bytes.HasPrefix(data, []byte(agePrefix)) {
		var err error
		if data, err = unsealRoot(data, passphrase); err != nil {
			return nil, err
		}
	}
	seed, ok := strings.CutPrefix(string(data), rootPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: not a root key", ErrInvalid)
	}
	return rootFromSeed(strings.TrimSuffix(seed, "\n"))
}

func sealRoot(data []byte, s Seal) ([]byte, error) {
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

func unsealRoot(data []byte, passphrase string) ([]byte, error) {
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
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxRootFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return out, nil
}
