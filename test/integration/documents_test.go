package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDocuments types what the documents show, in the order in which they show it: each machine of a
// document has a state and a port of its own. What a command goes on with stays until the end.
func TestDocuments(t *testing.T) {
	t.Parallel()
	two := []string{
		"laptop$ swarm init", "laptop$ swarm invite rig-01 --label site=home", "rig-01$ swarm join - --enable miner=refpow,deploy,run",
		"rig-01$ swarm worker", "laptop$ swarm invite rig-02 --label site=home", "rig-02$ swarm join - --enable miner=refpow,deploy,run",
		"rig-02$ swarm worker",
	}
	for path, before := range map[string][]string{"README.md": nil, "docs/without-a-fleet.md": nil, "docs/operations.md": two} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(path)))
			must(t, err)
			typed := typedLines(string(text))
			if len(typed) < 5 {
				t.Fatalf("found %d commands", len(typed))
			}
			r := &reader{t: t, dir: t.TempDir(), listens: make(map[string]string)}
			if path == "README.md" && len(makeWords(t, string(text))) < 2 {
				t.Error("found no word of make")
			}
			must(t, os.WriteFile(filepath.Join(r.dir, "bundle"), []byte("hello\n"), 0o600))
			for _, line := range append(before, typed...) {
				if !r.typeIn(line) {
					t.Fatal("stopped here, as what follows may rest on it")
				}
			}
		})
	}
}

// typedLines are the lines of indented blocks that begin with a prompt. A comment begins with two
// blanks and #.
func typedLines(text string) (lines []string) {
	for _, m := range regexp.MustCompile(`(?m)^    ([a-z][\w-]*\$ .*?)(?:\s\s+# .*)?$`).FindAllStringSubmatch(text, -1) {
		lines = append(lines, strings.TrimSpace(m[1]))
	}
	return lines
}

// makeWords are the words of make that a document shows; make has to know them.
func makeWords(t *testing.T, text string) (words []string) {
	for _, m := range regexp.MustCompile(`(?m)^    make (\w+)`).FindAllStringSubmatch(text, -1) {
		words = append(words, m[1])
		if out, err := exec.CommandContext(t.Context(), "make", "-n", "-C", "../..", m[1]).CombinedOutput(); err != nil {
			t.Errorf("make %s: %v\n%s", m[1], err, out)
		}
	}
	return words
}

// reader is a person who does what a document says.
type reader struct {
	t       *testing.T
	dir     string
	listens map[string]string // by machine
	fleet   string            // its ID
	laptop  string            // its peer ID
	rig     string            // the address of rig-01
	address string            // the one that was printed last
	ticket  string            // the one that was printed last
}

var (
	fullAddress = regexp.MustCompile(`/ip4/127\.0\.0\.1/tcp/\d+/p2p/\w+`)
	fleetID     = regexp.MustCompile(`(?m)^  fleet +(\w+)$`)
	ticketText  = regexp.MustCompile(`swarm1-[\w-]+`)
	// goesOn are the commands that wait for others, and what they print when they do.
	goesOn = []struct{ command, prints *regexp.Regexp }{
		{regexp.MustCompile(`^swarm (worker|relay|controller serve|join --wait)\b`), fullAddress},
		{regexp.MustCompile(`^swarm invite .*--to`), regexp.MustCompile(`has joined`)},
		{regexp.MustCompile(`^swarm invite .*--ticket-file`), regexp.MustCompile(`The ticket is in`)},
		{regexp.MustCompile(`^swarm invite `), ticketText},
		{regexp.MustCompile(`^swarm (events|controller watch)\b|--follow`), regexp.MustCompile(``)},
	}
	// formerly are the machines that a document has given another name.
	formerly = map[string]string{"cabin-01": "rig-02"}
	// partly are the commands that may reach some machines only.
	partly = regexp.MustCompile(`^swarm key restore`)
)

// typeIn types a line, and reports whether it did what it should.
func (r *reader) typeIn(line string) bool {
	r.t.Helper()
	machine, command, _ := strings.Cut(line, "$ ")
	if name, ok := formerly[machine]; ok {
		machine = name
	}
	command = strings.NewReplacer("LAPTOP", r.laptop, "RIG-01", r.rig, "ADDRESS", r.address).Replace(command)
	for _, g := range goesOn {
		if g.command.MatchString(command) {
			return r.start(machine, line, command, g.prints)
		}
	}
	var out buffer
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	err := r.command(ctx, machine, command, &out).Run()
	exit, _ := errors.AsType[*exec.ExitError](err)
	if err != nil && (exit == nil || exit.ExitCode() != 3 || !partly.MatchString(command)) {
		r.t.Errorf("%s: %v\n%s", line, err, &out)
		return false
	}
	r.read(machine, command, out.String())
	return true
}

// start types a line whose command goes on, and waits until others can rely on it.
func (r *reader) start(machine, line, command string, prints *regexp.Regexp) bool {
	r.t.Helper()
	var out buffer
	cmd := r.command(context.Background(), machine, command, &out)
	must(r.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		defer kill.Stop()
		ended <- <-ended
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		if prints.MatchString(out.String()) {
			r.read(machine, command, out.String())
			return true
		}
		select {
		case <-tick.C:
		case <-late:
			r.t.Errorf("%s: not within a minute\n%s", line, &out)
			return false
		case err := <-ended:
			ended <- err
			if err != nil || !prints.MatchString(out.String()) {
				r.t.Errorf("%s: %v\n%s", line, err, &out)
				return false
			}
		}
	}
}

// command is a line in a shell of that machine, with a person who pastes the ticket and says yes.
func (r *reader) command(ctx context.Context, machine, command string, out *buffer) *exec.Cmd {
	if r.listens[machine] == "" {
		r.listens[machine] = freeAddr(r.t)
	}
	if strings.HasPrefix(command, "swarm init") || strings.HasPrefix(command, "swarm key restore") {
		command += " --name " + machine // else that of the machine that tests
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+command)
	cmd.Dir = r.dir
	cmd.Env = append(environment(r.t), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"),
		"SWARM_STATE="+filepath.Join(r.dir, machine), "SWARM_LISTEN="+r.listens[machine], "SWARM_MDNS=false", "SWARM_BEACON=false",
		"SWARM_PASSPHRASE=correct horse")
	if strings.HasPrefix(command, "swarm invite") { // one may stay for a minute when the next is typed
		cmd.Env = append(cmd.Env, "SWARM_LISTEN="+anyPort)
	}
	if strings.HasPrefix(command, "swarm join --wait") { // it asks at a terminal only
		cmd.Env = append(cmd.Env, "SWARM_FLEET="+r.fleet, "SWARM_YES=true")
	}
	in := strings.Repeat("y\n", 8)
	if strings.HasPrefix(command, "swarm join - ") || command == "swarm join -" {
		in = r.ticket + "\n" + in
	}
	cmd.Stdin, cmd.Stderr, cmd.Stdout = strings.NewReader(in), out, out
	return cmd
}

// read keeps what a person copies from one machine to another.
func (r *reader) read(machine, command, out string) {
	if found := fullAddress.FindString(out); found != "" {
		r.address = found
		if machine == "rig-01" {
			r.rig = found
		}
	}
	if found := ticketText.FindString(out); found != "" {
		r.ticket = found
	}
	if found := fleetID.FindStringSubmatch(out); found != nil && command == "swarm init" {
		r.fleet = found[1]
	}
	if command == "swarm id" {
		r.laptop = strings.TrimSpace(out)
	}
}
