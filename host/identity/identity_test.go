package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

func idOf(t testing.TB, path string) peer.ID {
	t.Helper()
	key, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", fileName)
	first := idOf(t, path)
	if again := idOf(t, path); again != first {
		t.Errorf("got %s the second time, want %s", again, first)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestIdentityRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the cases are about Unix files")
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalPKCS8PrivateKey(ecKey)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		do   func(path string) error
		want string // in the error
	}{
		{"group may read", func(p string) error { return os.Chmod(p, 0o640) }, "chmod 600"},
		{"world may read", func(p string) error { return os.Chmod(p, 0o604) }, "chmod 600"},
		{"empty", func(p string) error { return os.Truncate(p, 0) }, "empty"},
		{"cut", func(p string) error { return os.Truncate(p, 100) }, "damaged"},
		{"too large", func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("x"), maxSize+1), 0o600) }, "larger than 4096"},
		{"something else", func(p string) error { return os.WriteFile(p, []byte("hello\n"), 0o600) }, "damaged"},
		{"another kind of key", func(p string) error {
			return os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: ecDER}), 0o600)
		}, "not an Ed25519 key"},
		{"text after the key", func(p string) error {
			text, err := os.ReadFile(p)
			return errors.Join(err, os.WriteFile(p, append(text, '\n'), 0o600))
		}, "added or changed"},
		{"symbolic link", func(p string) error {
			return errors.Join(os.Rename(p, p+".moved"), os.Symlink(p+".moved", p))
		}, "symbolic link"},
		{"directory", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "a directory"},
		{"open parent", func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) }, "chmod go-w"},
		{"sticky open parent", func(p string) error { return os.Chmod(filepath.Dir(p), 0o777|os.ModeSticky) }, "chmod go-w"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fileName)
			idOf(t, path)
			if err := tt.do(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			_, err := LoadOrCreate(path)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrRefused with %q", err, tt.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// Wherever a bit of the file is wrong, the error says in a line that it is damaged and what to do,
// in no words of a library.
func TestIdentityWithAFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileName)
	idOf(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const most = 300
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadOrCreate(path)
		if !errors.Is(err, ErrRefused) {
			t.Fatalf("byte %d: %v", i, err)
		}
		text := strings.ReplaceAll(err.Error(), path, fileName)
		if !strings.Contains(text, "is damaged") || !strings.Contains(text, "restore it from a backup") || strings.Contains(text, "asn1") || len(text) > most {
			t.Errorf("byte %d: %s", i, text)
		}
	}
}

func TestIdentityOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a file away needs root")
	}
	path := filepath.Join(t.TempDir(), fileName)
	idOf(t, path)
	if err := os.Chown(path, 12345, -1); err != nil {
		t.Skip("cannot give a file away here: ", err)
	}
	if _, err := LoadOrCreate(path); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "user 12345") {
		t.Errorf("got %v, want ErrRefused that names the owner", err)
	}
}

// TestIdentityFlippedBits: no single flipped bit gives another identity.
func TestIdentityFlippedBits(t *testing.T) {
	path := filepath.Join(t.TempDir(), fileName)
	idOf(t, path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode(text); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for bit := range 8 {
			flipped := bytes.Clone(text)
			flipped[i] ^= 1 << bit
			if _, err := decode(flipped); err == nil {
				t.Errorf("accepted with bit %d of byte %d flipped", bit, i)
			}
		}
	}
}

// childEnv makes the test binary print the identity in that file.
const childEnv = "SWARM_TEST_IDENTITY"

// TestIdentityRace lets processes and goroutines create one identity at once.
func TestIdentityRace(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state", fileName)
	var wg sync.WaitGroup
	got := make([]string, 16)
	for i := range got {
		wg.Go(func() {
			if i%2 == 0 {
				key, err := LoadOrCreate(path)
				if err != nil {
					t.Error(err)
					return
				}
				id, _ := peer.IDFromPrivateKey(key)
				got[i] = id.String()
				return
			}
			child := exec.Command(self)
			child.Env = append(os.Environ(), childEnv+"="+path)
			out, err := child.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			got[i] = string(out)
		})
	}
	wg.Wait()
	for _, id := range got {
		if id != got[0] {
			t.Fatalf("several identities: %v", got)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// FuzzIdentity: what is accepted is exactly what we would write.
func FuzzIdentity(f *testing.F) {
	path := filepath.Join(f.TempDir(), fileName)
	idOf(f, path)
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.ReplaceAll(text, []byte("Peer-Id"), []byte("Peer-ID")))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := decode(text)
		if err != nil {
			return
		}
		raw, err := key.Raw()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := encode(raw); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("accepted %q, would write %q", text, again)
		}
	})
}
