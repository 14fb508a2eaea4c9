package policy

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

const golden = "testdata/policy.json"

func TestGolden(t *testing.T) {
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state", FileName)
	if err := full().Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("wrote %s\nwant %s (%v)", got, want, err)
	}
	if info, err := os.Stat(path); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if p, err := Load(path); err != nil || !reflect.DeepEqual(p, full()) {
		t.Errorf("read %+v, %v", p, err)
	}
}

func TestWriteRefusesInvalid(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	if err := (Policy{Miners: []string{"*"}}).Write(path); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	long := full()
	for range MaxList {
		long.Wallets = append(long.Wallets[:len(long.Wallets):len(long.Wallets)], strings.Repeat("w", MaxItem))
	}
	long.Wallets = long.Wallets[1:]
	if err := long.Write(path); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file that could not be read again: got %v, want ErrInvalid", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // a part of the error; "" means valid
	}{
		{"nothing", "", "line 1"},
		{"empty object", " {} ", ""},
		{"some keys", `{"run":true,"caps":{"threads":2}}`, ""},
		{"null list", `{"miners":null}`, ""},
		{"null", "null", "want an object"},
		{"list", "[]", "line 1"},
		{"unknown key", "{\n  \"run\": true,\n  \"fly\": true\n}", `line 3: unknown key "/fly"`},
		{"unknown key within", "{\n\n\"caps\": {\n\"speed\": 1}}", `line 4: unknown key "/caps/speed"`},
		{"other case", `{"Run":true}`, "unknown key"},
		{"repeated key", "{\n\"run\": true,\n\"run\": false}", "line 3"},
		{"wrong type", "{\n\"run\": \"yes\"\n}", `line 2: "/run": want another type of value than string`},
		{"wrong type in a list", "{\"miners\": [\n\"a\",\n5]}", "line 3"},
		{"syntax", "{\n\"run\": true\n\"miners\": []}", "line 3"},
		{"rest", "{}\n{}", "line 2"},
		{"fraction", `{"caps":{"threads":1.5}}`, "/caps/threads"},
		{"not UTF-8", "{\"miners\":[\"\xff\"]}", "UTF-8"},
		{"invalid value", `{"pools":["a:0"]}`, "pools[0]"},
		{"n bytes", "{}" + strings.Repeat(" ", MaxFile-2), ""},
		{"n+1 bytes", "{}" + strings.Repeat(" ", MaxFile-1), "more than 65536 bytes"},
		{"deep", strings.Repeat("[", MaxFile), "line 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestLoadUnsafe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("mode bits say nothing on Windows")
	}
	for _, tt := range []struct {
		name string
		make func(path string) error
		want error // nil means it is read
	}{
		{"private", func(p string) error { return os.Chmod(p, 0o600) }, nil},
		{"readable", func(p string) error { return os.Chmod(p, 0o644) }, nil},
		{"writable by the group", func(p string) error { return os.Chmod(p, 0o620) }, ErrUnsafe},
		{"writable by all", func(p string) error { return os.Chmod(p, 0o602) }, ErrUnsafe},
		{"foreign", func(p string) error { return os.Chown(p, 12345, -1) }, ErrUnsafe},
		{"directory", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, ErrUnsafe},
		{"link", func(p string) error { return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p)) }, os.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "foreign" && os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			path := filepath.Join(t.TempDir(), FileName)
			if err := full().Write(path); err != nil {
				t.Fatal(err)
			}
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			p, err := Load(path)
			switch {
			case tt.want == nil && (err != nil || !reflect.DeepEqual(p, full())):
				t.Errorf("got %+v, %v", p, err)
			case tt.want != nil && (err == nil || !reflect.DeepEqual(p, Policy{})):
				t.Errorf("got %+v, %v, want an error", p, err)
			case tt.want == ErrUnsafe && !errors.Is(err, ErrUnsafe):
				t.Errorf("got %v, want ErrUnsafe", err)
			}
		})
	}
}

func TestOpenAndReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	f, err := Open(path, "miner=refpow")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Policy().CheckMiner("refpow"); err != nil {
		t.Error(err)
	}
	if err := full().Write(path); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	now := f.Policy()
	if err := errors.Join(now.CheckMiner("refpow"), now.CheckMiner("xmrig"), now.CheckDeploy("web-1", 1)); err != nil {
		t.Error(err)
	}
	if err := now.CheckPool("stratum+tcp://evil:1"); !errors.Is(err, ErrRefused) {
		t.Errorf("the words for this run widened the owner's pools: %v", err)
	}
	now.Miners[0] = "changed"
	if err := os.WriteFile(path, []byte(`{"fly":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrInvalid and the path", err)
	}
	if err := f.Policy().CheckMiner("xmrig"); err != nil {
		t.Errorf("after a failed reload, and a caller's change: %v", err)
	}
	if f, err := Open(path); f != nil || !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, %v, want ErrInvalid", f, err)
	}
	if f, err := Open(path+".none", "fly"); f != nil || !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, %v, want ErrInvalid", f, err)
	}
	if (new(File)).Policy().CheckDeploy("web", 0) == nil {
		t.Error("the zero File allows something")
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(golden)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{}`))
	f.Add([]byte("{\n\"fly\": 1}"))
	f.Add([]byte(`{"pools":["[::1]:1","*.a:*"],"deploy":{"names":["a[?\\*"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
			return
		}
		path := filepath.Join(t.TempDir(), FileName)
		if err := p.Write(path); err != nil {
			return // indented it may be too long
		}
		again, err := Load(path)
		if err != nil || len(again.Miners) != len(p.Miners) || again.Caps != p.Caps || again.Run != p.Run {
			t.Errorf("wrote %+v, read %+v, %v", p, again, err)
		}
	})
}

// FuzzCheckPool looks for a pool that passes a list without being in it.
func FuzzCheckPool(f *testing.F) {
	f.Add("stratum+tcp://pool.example:3333")
	f.Add("stratum+tcp://pool.example:3333@evil:1")
	f.Add("stratum+tcp://POOL.example.:3333/x?y#z")
	p := Policy{Pools: []string{"pool.example:3333"}}
	f.Fuzz(func(t *testing.T, pool string) {
		if p.CheckPool(pool) == nil && !strings.Contains(strings.ToLower(pool), "pool.example") && !strings.Contains(pool, "%") {
			t.Errorf("allowed %q", pool)
		}
	})
}
