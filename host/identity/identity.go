// Package identity keeps the key that a node is known by in a file of its own.
package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	fileName      = "identity.pem" // the name inside a state directory
	maxSize       = 4 << 10        // bytes; ours has about 230
	pemType       = "PRIVATE KEY"
	pemPeerHeader = "Peer-Id"
)

// ErrRefused is the kind of every error about an identity file that exists but must not be used:
// damaged, readable by others, owned by someone else, or no regular file. Such a file is never
// replaced, because the machine would silently become another peer: a person has to look. Do not
// retry.
var ErrRefused = errors.New("identity file refused")

// New makes an Ed25519 identity that is kept nowhere: for tests, and nodes that leave no trace.
func New() (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	return key, err
}

// Path is where a node with this state directory keeps its key.
func Path(stateDir string) string { return filepath.Join(stateDir, fileName) }

// LoadOrCreate returns the Ed25519 private key kept in the file path, and makes the file with a new
// key if there is none. The file is PKCS#8 in PEM, readable by its owner only, with a header that
// names the peer ID: the key is checked against it, so that a flipped bit shows as damage and not
// as another identity.
//
// A missing parent directory is created with 0700. One that belongs to another user than us and
// root, or that others may write to, is refused. Several processes may call LoadOrCreate on one
// path at the same time; all get the same key. The error for an existing file that cannot be used
// matches ErrRefused.
func LoadOrCreate(path string) (crypto.PrivKey, error) {
	if err := MakeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	key, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	// Read it back in any case: another process may have been first.
	return load(path)
}

// MakeDir makes a state directory if it is missing, and refuses one where another user could put
// files. The error matches ErrRefused.
func MakeDir(dir string) error {
	if err := makeLasting(dir); err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	if err := durable.CheckDir(dir); err != nil {
		return fmt.Errorf("%w: state directory: %w, or choose another state directory", ErrRefused, err)
	}
	return nil
}

// makeLasting makes a directory that survives a power cut: what is in it is only as lasting as its
// own name.
func makeLasting(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

func create(path string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	text, err := encode(private)
	if err != nil {
		return fmt.Errorf("make identity: %w", err)
	}
	return durable.CreateFile(path, text, 0o600)
}

func load(path string) (crypto.PrivKey, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	key, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w; restore it from a backup, or move it away to get a new identity "+
			"(other machines will not know it)", ErrRefused, path, err)
	}
	return key, nil
}

// readPrivate reads a small regular file that belongs to us alone.
func readPrivate(path string) ([]byte, error) {
	f, err := durable.Open(path)
	if errors.Is(err, durable.ErrUnsafe) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	defer f.Close()
	// Judge what is open now, not what had the name a moment ago.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at identity: %w", err)
	}
	if err := checkOwner(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	return text, nil
}

// checkOwner refuses a file that others could have read or written. Windows keeps files private by
// the access list of the user's profile; mode bits say nothing there.
func checkOwner(path string, info fs.FileInfo) error {
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%w: others may read %s (mode %04o), so its key may be known to them; "+
			"run `chmod 600 %s` if you trust every user of this machine, else move it away",
			ErrRefused, path, info.Mode().Perm(), path)
	}
	if err := durable.CheckOwner(path, info); err != nil {
		return fmt.Errorf("%w: %w, or choose another state directory", ErrRefused, err)
	}
	return nil
}

func encode(private ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	_, id, err := libp2pKey(private)
	if err != nil {
		return nil, err
	}
	named := map[string]string{pemPeerHeader: id.String()}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Headers: named, Bytes: der}), nil
}

// decode is strict: what it accepts is byte for byte what encode writes for the same key.
func decode(text []byte) (crypto.PrivKey, error) {
	switch {
	case len(text) == 0:
		return nil, errors.New("the file is empty")
	case len(text) > maxSize:
		return nil, fmt.Errorf("the file is larger than %d bytes", maxSize)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, errors.New("the file is damaged: no PEM block with a private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		// The words of x509 are about Go.
		return nil, errors.New("the file is damaged: its key cannot be read")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("the key is not an Ed25519 key")
	}
	key, id, err := libp2pKey(private)
	if err != nil {
		return nil, err
	}
	if named := block.Headers[pemPeerHeader]; named != id.String() {
		return nil, fmt.Errorf("the file is damaged: it holds the key of %s, and names another", id)
	}
	if again, err := encode(private); err != nil || !bytes.Equal(again, text) {
		return nil, errors.New("the file is damaged: something was added or changed around the key")
	}
	return key, nil
}

func libp2pKey(private ed25519.PrivateKey) (crypto.PrivKey, peer.ID, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(private)
	if err != nil {
		return nil, "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	return key, id, err
}
