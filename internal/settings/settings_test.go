package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// program is a command line with a worker and another command; it runs nothing.
type program struct {
	worker, ping *cobra.Command
	name, level  string
	listen       []string
	port         int
	wait         time.Duration
	mdns         bool
}

func newProgram(t *testing.T) *program {
	t.Helper()
	p := new(program)
	root := &cobra.Command{Use: "swarm"}
	root.PersistentFlags().String("config", "", "")
	root.PersistentFlags().StringVar(&p.level, "log-level", "info", "")
	p.worker, p.ping = &cobra.Command{Use: "worker", Run: func(*cobra.Command, []string) {}}, &cobra.Command{Use: "ping", Run: func(*cobra.Command, []string) {}}
	f := p.worker.Flags()
	f.StringVar(&p.name, "name", "", "")
	f.StringArrayVar(&p.listen, "listen", nil, "")
	f.IntVar(&p.port, "beacon-port", 4748, "")
	f.DurationVar(&p.wait, "wait", time.Second, "")
	f.BoolVar(&p.mdns, "mdns", true, "")
	p.ping.Flags().StringVar(&p.name, "name", "", "")
	root.AddCommand(p.worker, p.ping)
	return p
}

// fill parses args for cmd and fills in the rest, with a configuration file of this text.
func fill(t *testing.T, cmd *cobra.Command, config string, args ...string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(append(args, "--config", path)); err != nil {
		t.Fatal(err)
	}
	return Fill(cmd)
}

// What stands nearer to the person wins: the command line, the environment, the file, the default.
func TestOrder(t *testing.T) {
	t.Setenv("SWARM_LISTEN", " /ip4/1.1.1.1/tcp/1 , /ip4/2.2.2.2/tcp/2")
	t.Setenv("SWARM_BEACON_PORT", "1111")
	t.Setenv("SWARM_MDNS", "") // empty counts as unset
	p := newProgram(t)
	err := fill(t, p.worker, "log-level: debug\nbeacon-port: 2222\nmdns: false\nlisten: [/ip4/3.3.3.3/tcp/3]\n", "--beacon-port", "3333")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/ip4/1.1.1.1/tcp/1", "/ip4/2.2.2.2/tcp/2"}
	if p.port != 3333 || !slices.Equal(p.listen, want) || p.level != "debug" || p.mdns || p.wait != time.Second {
		t.Errorf("got %+v", p)
	}
}

// A value is what stands in the file, letter for letter: a name of digits keeps its zeros.
func TestValuesAreText(t *testing.T) {
	for config, want := range map[string]string{
		"name: rig-01":          "rig-01",
		"name: 007":             "007",
		"name: 1_000":           "1_000",
		"name: -5":              "-5",
		"name: .inf":            ".inf",
		"name: 1.10":            "1.10",
		"name: 0x1F":            "0x1F",
		"name: True":            "True",
		`name: "7"`:             "7",
		`name: 'it''s'`:         "it's",
		`name: "a\tb"`:          "a\tb",
		"name: rig # the first": "rig",
		"# nothing\nname: rig":  "rig",
		"name: |-\n  a\n  b":    "a\nb",
		"---\nname: rig\n":      "rig",
		"name: 0755":            "0755",
		"name: 1.0":             "1.0",
		"name: +5":              "+5",
		"name: 0b11":            "0b11",
		"name: 1e3":             "1e3",
		"name: no":              "no",
		"name: 12:30:45":        "12:30:45",
		"name: 2024-01-02":      "2024-01-02",
		`name: "null"`:          "null",
		"name: null":            "",
		"\xef\xbb\xbfname: rig": "rig",
		"\xef\xbb\xbf# mine\r\nname: rig\r\nmdns: false\r\n": "rig",
	} {
		p := newProgram(t)
		if err := fill(t, p.worker, config); err != nil || p.name != want {
			t.Errorf("%q: got %q, %v, want %q", config, p.name, err, want)
		}
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	for config, want := range map[string]string{
		"nonsense: 1":                  `config.yaml:1: unknown setting "nonsense"`,
		"\nhelp: true":                 `config.yaml:2: unknown setting "help"`,
		"config: /etc/other":           `unknown setting "config"`,
		"listen: [/ip4/1.1.1.1, null]": "config.yaml:1: listen: want a value",
		"listen: [a, [b]]":             "config.yaml:1: listen: want a value",
		"name: {a: b}":                 "config.yaml:1: name: want a value",
		"beacon-port: many":            "config.yaml:1: beacon-port:",
		"name: a\nname: b":             "config.yaml",
		"- a":                          "want settings of the form name: value",
		"name":                         "want settings of the form name: value",
		"name: [":                      "config.yaml",
		"name: *other":                 "config.yaml:1: name: want a value",
		"\xff\xfen\x00:\x00":           "config.yaml: it is in UTF-16",
		"\x00\x00\x00\x00":             "config.yaml: it holds nothing but zero bytes",
	} {
		err := fill(t, newProgram(t).worker, config)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", config, err, want)
		}
	}
	for _, config := range []string{"", "# nothing", "---", "{}", "name:", "name: null", "name: ~", "listen: []"} {
		if err := fill(t, newProgram(t).worker, config); err != nil {
			t.Errorf("%q: %v", config, err)
		}
	}
}

// The name of a machine in the file names its worker, and nothing that a command does.
func TestNameIsOfTheWorker(t *testing.T) {
	p := newProgram(t)
	if err := fill(t, p.ping, "name: rig-01\nbeacon-port: 1\n"); err != nil || p.name != "" {
		t.Errorf("ping took the name %q, %v", p.name, err)
	}
}

func TestConfigThatIsNotThere(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	p := newProgram(t)
	if err := p.worker.ParseFlags(nil); err != nil {
		t.Fatal(err)
	}
	if err := Fill(p.worker); err != nil {
		t.Errorf("without a usual file: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	t.Setenv("SWARM_CONFIG", missing)
	if err := Fill(newProgram(t).worker); err == nil {
		t.Error("a named file that is not there is passed over")
	}
}

func TestWrongEnvironment(t *testing.T) {
	t.Setenv("SWARM_BEACON_PORT", "many")
	err := fill(t, newProgram(t).worker, "")
	if err == nil || !strings.Contains(err.Error(), "environment variable SWARM_BEACON_PORT") {
		t.Errorf("got %v", err)
	}
}

func TestTime(t *testing.T) {
	now := time.Now().UnixMilli()
	for text, back := range map[string]time.Duration{"10m": 10 * time.Minute, "-10m": 10 * time.Minute, "0s": 0} {
		got, err := Time(text)
		if err != nil || (now-back.Milliseconds()-got) > 0 || got-(now-back.Milliseconds()) > 10_000 {
			t.Errorf("%s: %d, %v", text, got-now, err)
		}
	}
	if got, err := Time("2026-11-21T12:00:00+02:00"); err != nil || got != 1795255200000 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, text := range []string{"", "10", "yesterday", "2026-11-21", "2026-11-21 12:00:00"} {
		if _, err := Time(text); err == nil {
			t.Errorf("%q is a time", text)
		}
	}
}

func TestArgument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", maxArgument)
	for _, tt := range []struct{ name, arg, stdin, want string }{
		{"text", "plain", "unread", "plain"},
		{"nothing", "", "unread", ""},
		{"a file", "@" + path, "unread", "from a file"},
		{"standard input", "-", "from stdin", "from stdin"},
		{"with a byte order mark and CRLF", "-", "\ufeff{}\r\n", "{}\n"},
		{"as much as may be", "-", large, large},
	} {
		if got, err := Argument(tt.arg, strings.NewReader(tt.stdin)); err != nil || got != tt.want {
			t.Errorf("%s: got %.20q, %v", tt.name, got, err)
		}
	}
	if _, err := Argument("-", strings.NewReader(large+"x")); err == nil {
		t.Error("a byte more than may be is taken")
	}
	if _, err := Argument("@"+path+".none", nil); err == nil {
		t.Error("a file that is not there is taken")
	}
	if got, err := Argument("-", nil); err != nil || got != "-" {
		t.Errorf("without standard input: got %q, %v", got, err)
	}
}
