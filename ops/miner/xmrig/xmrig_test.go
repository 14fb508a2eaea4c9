package xmrig_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/ops/miner/xmrig"
)

// TestMain also plays XMRig, when the test binary is called by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "xmrig" {
		os.Exit(fake(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// fakeConfig is what the fake reads of its configuration.
type fakeConfig struct {
	HTTP struct {
		Enabled    bool   `json:"enabled"`
		Host       string `json:"host"`
		Port       int    `json:"port"`
		Token      string `json:"access-token"`
		Restricted bool   `json:"restricted"`
	} `json:"http"`
}

// fake answers like XMRig 6.26.0 does, with the file answer.json beside its configuration. A status
// code in that file stands for an answer of that kind.
func fake(args []string) int {
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("XMRig 6.26.0\n built on Nov 21 2026 with GCC")
		return 0
	}
	flags := flag.NewFlagSet("xmrig", flag.ContinueOnError)
	path := flags.String("config", "", "")
	flags.Bool("no-color", false, "")
	if flags.Parse(args) != nil {
		return 2
	}
	var c fakeConfig
	b, err := os.ReadFile(*path)
	if err != nil || json.Unmarshal(b, &c) != nil || !c.HTTP.Enabled || !c.HTTP.Restricted || c.HTTP.Host != "127.0.0.1" || c.HTTP.Token == "" {
		fmt.Fprintln(os.Stderr, "bad configuration")
		return 2
	}
	err = http.ListenAndServe(net.JoinHostPort(c.HTTP.Host, strconv.Itoa(c.HTTP.Port)),
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer, _ := os.ReadFile(filepath.Join(filepath.Dir(*path), "answer.json"))
			code, err := strconv.Atoi(string(answer))
			switch {
			case r.Header.Get("Authorization") != "Bearer "+c.HTTP.Token:
				w.WriteHeader(http.StatusUnauthorized)
			case r.Method != http.MethodGet || r.URL.Path != "/2/summary":
				w.WriteHeader(http.StatusForbidden)
			case err == nil:
				w.WriteHeader(code)
			default:
				_, _ = w.Write(answer)
			}
		}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// installed returns the path of the fake.
func installed(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "xmrig")
	if err := os.Symlink(exe, path); err != nil {
		t.Skip(err)
	}
	return path
}

func good() miner.Spec {
	return miner.Spec{Name: "rig", Pool: "stratum+ssl://pool.example:443", Wallet: "48wallet", Password: "hush", Algorithm: "rx/0", Threads: 2}
}

// The files in testdata are answers of a real XMRig 6.26.0 mining Monero's rx/0.
func TestStatusOfARunningMiner(t *testing.T) {
	recorded := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	tests := []struct {
		name, answer string
		state        miner.State
		hashRate     float64 // -1: unknown
		accepted     int64   // -1: unknown
		rejected     int64
		ok           bool
	}{
		{"recorded", recorded("summary1.json"), miner.Mining, 27.84, 31, 1, true},
		{"recorded without thread rates", recorded("summary2.json"), miner.Mining, 27.84, 31, 1, true},
		{"warming", strings.Replace(recorded("summary2.json"), "[27.84, null, null]", "[null, null, null]", 1), miner.Warming, -1, 31, 1, true},
		{"known over a minute only", strings.Replace(recorded("summary2.json"), "[27.84, null, null]", "[null, 20.5, null]", 1), miner.Mining, 20.5, 31, 1, true},
		{"paused", strings.Replace(recorded("summary2.json"), `"paused": false`, `"paused": true`, 1), miner.Paused, 27.84, 31, 1, true},
		{"pool lost", strings.NewReplacer(`"uptime": 40,`, `"uptime": 0,`, `"failures": 0`, `"failures": 3`).Replace(recorded("summary2.json")), miner.Degraded, 27.84, 31, 1, true},
		{"nearly nothing", `{"algo":null,"hashrate":{"total":null}}`, miner.Warming, -1, -1, -1, true},
		{"another document", recorded("backends.json"), miner.Degraded, -1, -1, -1, false},
		{"no JSON", "hello", miner.Degraded, -1, -1, -1, false},
		{"endless", `{"id":"` + strings.Repeat("x", 1<<20) + `"}`, miner.Degraded, -1, -1, -1, false},
		{"unauthorized", "401", miner.Degraded, -1, -1, -1, false},
		{"forbidden", "403", miner.Degraded, -1, -1, -1, false},
	}
	a, dir := xmrig.New(xmrig.Config{Binary: installed(t)}), t.TempDir()
	run, err := a.Render(t.Context(), good(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := a.Status(t.Context(), dir); err != nil || s.State != miner.Starting {
		t.Errorf("before the start: %+v, %v", s, err)
	}
	var words bytes.Buffer
	run.Stderr = &words
	w, err := process.Driver{}.Start(run)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop(context.Background(), time.Second) }()
	for {
		if s, err := a.Status(t.Context(), dir); s.State != miner.Starting {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.Done():
			t.Fatalf("the fake ended: %s", words.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "answer.json"), []byte(tt.answer), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := a.Status(t.Context(), dir)
			if s.State != tt.state || (err == nil) != tt.ok || value(s.HashRate) != tt.hashRate ||
				count(s.SharesAccepted) != tt.accepted || count(s.SharesRejected) != tt.rejected {
				t.Errorf("got %s, %v H/s, %v accepted, %v rejected, %v", s.State, value(s.HashRate), count(s.SharesAccepted), count(s.SharesRejected), err)
			}
			if tt.accepted >= 0 && (s.Algorithm != "rx/0" || s.Pool != "127.0.0.1:3333") {
				t.Errorf("algorithm %q, pool %q", s.Algorithm, s.Pool)
			}
		})
	}
	t.Run("with a foreign token", func(t *testing.T) {
		file := filepath.Join(dir, "config.json")
		b, _ := os.ReadFile(file)
		var c fakeConfig
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.Replace(b, []byte(c.HTTP.Token), []byte("other"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := a.Status(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "401") || s.State != miner.Degraded {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}

func value(f *float64) float64 {
	if f == nil {
		return -1
	}
	return *f
}

func count(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

func TestRender(t *testing.T) {
	a, dir := xmrig.New(xmrig.Config{Binary: installed(t)}), t.TempDir()
	spec := good()
	spec.Config = []byte(`{"print-time":10,"cpu":{"huge-pages":false},"randomx":{"mode":"light"}}`)
	run, err := a.Render(t.Context(), spec, dir)
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(append(run.Argv, run.Env...), " "); strings.Contains(all, "hush") || strings.Contains(all, "48wallet") {
		t.Errorf("secrets in %q", all)
	}
	info, err := os.Stat(filepath.Join(dir, "config.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("config has mode %v, %v", info.Mode(), err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "config.json"))
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	h := c["http"].(map[string]any)
	if h["restricted"] != true || h["host"] != "127.0.0.1" || len(h["access-token"].(string)) < 20 {
		t.Errorf("http is %v", h)
	}
	delete(c, "http") // the rest has nothing random
	got, _ := json.Marshal(c, json.Deterministic(true))
	want := `{"api":{"worker-id":"rig"},"autosave":false,"background":false,"colors":false,` +
		`"cpu":{"*":{"affinity":-1,"intensity":1,"threads":2},"enabled":true,"huge-pages":false},` +
		`"cuda":{"enabled":false},"donate-level":1,"opencl":{"enabled":false},` +
		`"pools":[{"algo":"rx/0","enabled":true,"keepalive":true,"pass":"hush","rig-id":"rig","tls":true,"url":"pool.example:443","user":"48wallet"}],` +
		`"print-time":10,"randomx":{"mode":"light","rdmsr":false,"wrmsr":false},"version":1,"watch":false}`
	if string(got) != want {
		t.Errorf("config is\n%s\nwant\n%s", got, want)
	}
	second := t.TempDir()
	if _, err := a.Render(t.Context(), spec, second); err != nil {
		t.Fatal(err)
	}
	var c2 fakeConfig
	b, _ = os.ReadFile(filepath.Join(second, "config.json"))
	if err := json.Unmarshal(b, &c2); err != nil || c2.HTTP.Token == h["access-token"] {
		t.Errorf("the token is the same for two starts, %v", err)
	}
}

func TestRenderRefuses(t *testing.T) {
	config := func(s string) func(*miner.Spec) { return func(spec *miner.Spec) { spec.Config = []byte(s) } }
	tests := []struct {
		name   string
		change func(*miner.Spec)
		words  string
	}{
		{"no pool", func(s *miner.Spec) { s.Pool = "" }, "needs a pool and a wallet"},
		{"no wallet", func(s *miner.Spec) { s.Wallet = "" }, "needs a pool and a wallet"},
		{"bad pool", func(s *miner.Spec) { s.Pool = "-x" }, "stratum+tcp"},
		{"other pools", config(`{"pools":[]}`), `"pools" can not be set`},
		{"open interface", config(`{"http":{"host":"0.0.0.0"}}`), `"http" can not be set`},
		{"log file", config(`{"log-file":"/etc/passwd"}`), `"log-file" can not be set`},
		{"loader", config(`{"opencl":{"loader":"/tmp/evil.so"}}`), `"opencl" can not be set`},
		{"threads in cpu", config(`{"cpu":{"*":[-1]}}`), `"*" can not be set`},
		{"registers", config(`{"randomx":{"wrmsr":true}}`), `"wrmsr" can not be set`},
		{"section of another kind", config(`{"cpu":true}`), "cpu is not an object"},
		{"nested value", config(`{"retries":{"a":1}}`), "plain value"},
		{"no object", config(`[]`), "not an object"},
	}
	a := xmrig.New(xmrig.Config{Binary: installed(t)})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			spec := good()
			tt.change(&spec)
			_, err := a.Render(t.Context(), spec, t.TempDir())
			refusal, ok := errors.AsType[*miner.Refusal](err)
			if !ok || !strings.Contains(refusal.Reason, tt.words) {
				t.Errorf("got %v, want a refusal with %q", err, tt.words)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	path := installed(t)
	info, err := xmrig.New(xmrig.Config{Binary: path}).Detect(t.Context())
	if err != nil || info.Path != path || info.Version != "6.26.0" {
		t.Errorf("Detect() = %+v, %v", info, err)
	}
	t.Setenv("PATH", filepath.Dir(path))
	if info, err := xmrig.New(xmrig.Config{}).Detect(t.Context()); err != nil || info.Path != path {
		t.Errorf("Detect() in PATH = %+v, %v", info, err)
	}
	t.Setenv("PATH", t.TempDir())
	for _, binary := range []string{"", filepath.Join(t.TempDir(), "xmrig")} {
		a := xmrig.New(xmrig.Config{Binary: binary})
		_, err := a.Detect(t.Context())
		_, err2 := a.Render(t.Context(), good(), t.TempDir())
		if !errors.Is(err, miner.ErrNotInstalled) || !errors.Is(err2, miner.ErrNotInstalled) {
			t.Errorf("not installed at %q: %v, %v", binary, err, err2)
		}
		if n, ok := errors.AsType[*miner.NotInstalled](err); !ok || !strings.Contains(n.Looked, cmp.Or(binary, "PATH")) {
			t.Errorf("looked at %q, said %v", binary, err)
		}
	}
	if _, err := xmrig.New(xmrig.Config{Binary: "bin/xmrig"}).Detect(t.Context()); err == nil {
		t.Error("a relative path was taken")
	}
}
