package scoring

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
)

func randomPeer(t testing.TB) peer.ID {
	t.Helper()
	p, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestSaveLoad: scores come back, and fade also while nobody runs.
func TestSaveLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "scores.json")
		good, bad := randomPeer(t), randomPeer(t)
		b := New(Config{})
		b.Observe(good, Success)
		b.Observe(bad, BadMessage)
		if err := b.Save(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		again := New(Config{})
		if err := again.Load(path); err != nil {
			t.Fatal(err)
		}
		// The file has milliseconds.
		if g, b := again.Score(good), again.Score(bad); g < 50.49 || g > 50.51 || b < 44.99 || b > 45.01 {
			t.Errorf("got %v and %v, want 50.5 and 45", g, b)
		}
		few := New(Config{MaxPeers: 1})
		if err := few.Load(path); err != nil || few.Len() != 1 || few.Score(bad) == Neutral {
			t.Errorf("into a smaller book: %v, %d peers; want the one observed last", err, few.Len())
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("file mode %v, %v, want 0600", info.Mode(), err)
		}
	})
}

func TestLoadRefuses(t *testing.T) {
	id := randomPeer(t).String()
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"cut", `{"version":1,"peers":[{"pee`},
		{"other", `[]`},
		{"version", `{"version":2,"peers":[]}`},
		{"bad peer", `{"version":1,"peers":[{"peer":"x","score":50,"at":0}]}`},
		{"too high", `{"version":1,"peers":[{"peer":"` + id + `","score":100.1,"at":0}]}`},
		{"too low", `{"version":1,"peers":[{"peer":"` + id + `","score":-0.1,"at":0}]}`},
		{"duplicate key", `{"version":1,"version":1,"peers":[]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "scores.json")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			b := New(Config{})
			if err := b.Load(path); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v, want ErrDamaged", err)
			}
			if b.Len() != 0 {
				t.Errorf("%d peers of a damaged file were taken", b.Len())
			}
			if err := b.Save(path); err != nil {
				t.Error(err)
			}
		})
	}
	if err := New(Config{}).Load(filepath.Join(t.TempDir(), "no")); err != nil {
		t.Errorf("a missing file: %v, want none", err)
	}
	if err := New(Config{}).Save(filepath.Join(t.TempDir(), "no", "f")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("save without a directory: %v, want fs.ErrNotExist", err)
	}
}

// TestFutureTime: a score saved by a clock that was ahead fades from now on, and not only in years.
func TestFutureTime(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	file, err := decode([]byte(`{"version":1,"peers":[{"peer":"`+randomPeer(t).String()+`","score":0,"at":9999999999999}]}`), now)
	if err != nil || file.Peers[0].At != now.UnixMilli() {
		t.Errorf("got %+v, %v", file, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"peers":[{"peer":"12D3KooWQ4KEYFjPEAJq79ECcGa7mEi2xLzThQcsKtCbB8yFniLd","score":51,"at":1}]}`))
	f.Add([]byte(`{"version":1,"peers":[{"peer":"","score":1e999}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := decode(text, time.UnixMilli(1))
		if err != nil {
			return
		}
		for _, p := range file.Peers {
			if !(p.Score >= Min && p.Score <= Max) || p.At > 1 || p.Peer.Validate() != nil {
				t.Fatalf("accepted %+v", p)
			}
		}
	})
}
