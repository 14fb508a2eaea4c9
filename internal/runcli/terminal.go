package runcli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops/run"
)

// The size of a terminal that does not say one.
const (
	usualRows = 24
	usualCols = 80
)

// terminal is the person's own, while a command on a machine has one: what is typed goes there key by key,
// Ctrl-C too, and what comes from there is shown as it is. It is given back on every way out.
type terminal struct {
	in     *os.File
	fd     int // of in
	out    io.Writer
	asked  run.Size      // what the machine was asked for
	pieces chan []byte   // what is typed
	sizes  chan run.Size // what the size is from now on
	// leave ends the session at once, and hangUp as a terminal does that is gone. They are set before begin.
	leave, hangUp func()

	mu    sync.Mutex
	was   *term.State // guarded by mu: its modes before; nil unless they are changed
	over  bool        // guarded by mu: it was given back
	left  bool        // guarded by mu: by ~.
	fault error       // guarded by mu: why it could not be used

	giving  sync.Mutex // held while it is given back
	writing sync.Mutex
	modes   modes // guarded by writing
}

// newTerminal returns the person's terminal, or says why there is none for a command.
func newTerminal(e *console.Env, single bool) (*terminal, error) {
	in, _ := e.Stdin.(*os.File)
	switch {
	case e.JSON:
		return nil, errors.New("--tty shows a terminal to a person, and --json is for programs: leave one of them out")
	case !single:
		return nil, errors.New("--tty is for one machine that is named, as in: swarm run rig-01 --tty -- top")
	case in == nil || !output.IsTerminal(in) || !output.IsTerminal(e.Stdout):
		return nil, errors.New("--tty needs a terminal as standard input and output: leave it out where one of them is a file or a pipe")
	}
	t := &terminal{in: in, fd: int(in.Fd()), out: e.Stdout.Bytes(), pieces: make(chan []byte), sizes: make(chan run.Size)}
	t.asked = t.size()
	return t, nil
}

// size is the one that it has now.
func (t *terminal) size() run.Size {
	cols, rows, err := term.GetSize(t.fd)
	if err != nil {
		cols, rows = 0, 0
	}
	return run.Size{Rows: min(cmp.Or(rows, usualRows), run.MaxSide), Cols: min(cmp.Or(cols, usualCols), run.MaxSide)}
}

// request is what the machine is asked for.
func (t *terminal) request() *run.TTY {
	tty := &run.TTY{Rows: t.asked.Rows, Cols: t.asked.Cols, Term: os.Getenv("TERM")}
	if tty.Term == "" && runtime.GOOS == "windows" {
		tty.Term = "xterm-256color"
	}
	if tty.Validate() != nil {
		tty.Term = ""
	}
	return tty
}

// locale adds the variables of the person's language to those of a request, but none that is there.
func locale(env map[string]string) map[string]string {
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if _, set := env[name]; set || !run.IsLocale(name, value) {
			continue
		}
		if env == nil {
			env = make(map[string]string)
		}
		env[name] = value
	}
	return env
}

// take takes what a machine says of the command, and reports whether that was for the terminal.
func (t *terminal) take(ctx context.Context, res agent.Result) bool {
	defer t.whenPanicking()
	if res.Done {
		t.giveBack()
		return false
	}
	o, err := outputOf(res)
	switch {
	case err != nil || res.Event != "":
		return false
	case o.Started != nil:
		t.begin(ctx)
	case len(o.Data) > 0:
		t.show(o.Data)
	}
	return true
}

// begin gives the keys to the command that has started.
func (t *terminal) begin(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.was != nil {
		return
	}
	if t.was, t.fault = term.MakeRaw(t.fd); t.fault != nil {
		t.leave()
		return
	}
	go t.watch(ctx)
	go t.read(ctx)
}

// read passes on what is typed. At the end it may be left waiting for a person who types: that ends with
// the program.
func (t *terminal) read(ctx context.Context) {
	defer t.whenPanicking()
	var (
		keys escape
		buf  = make([]byte, agent.InputPiece/2) // what escape keeps back comes on top
	)
	for {
		n, err := t.in.Read(buf)
		pass, leaves := keys.next(buf[:n])
		if len(pass) > 0 && !leaves {
			select {
			case t.pieces <- slices.Clone(pass):
			case <-ctx.Done():
				return
			}
		}
		switch {
		case leaves:
			t.mu.Lock()
			t.left = true
			t.mu.Unlock()
			t.giveBack()
			t.leave()
			return
		case err != nil: // the terminal is gone
			t.hangUp()
			return
		}
	}
}

// watch tells of each change of the size, until ctx ends.
func (t *terminal) watch(ctx context.Context) {
	defer t.whenPanicking()
	changes, stop := resizes()
	defer stop()
	for last := t.asked; ; {
		if now := t.size(); now != last {
			select {
			case t.sizes <- now:
				last = now
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// show shows what the command prints.
func (t *terminal) show(data []byte) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	over := t.over
	t.mu.Unlock()
	if over {
		return
	}
	t.modes.see(data)
	if _, err := t.out.Write(data); err != nil {
		t.mu.Lock()
		t.fault = cmp.Or(t.fault, fmt.Errorf("write to the terminal: %w", err))
		t.mu.Unlock()
		t.leave()
	}
}

// giveBack makes the terminal what it was, also what programs have switched on and had no time to put back.
// When it returns that is done, whoever did it.
func (t *terminal) giveBack() {
	t.giving.Lock()
	defer t.giving.Unlock()
	t.mu.Lock()
	was := t.was
	t.was, t.over = nil, true
	t.mu.Unlock()
	if was == nil {
		return
	}
	_ = term.Restore(t.fd, was) // it fails where the terminal is gone
	t.writing.Lock()
	defer t.writing.Unlock()
	if undo := t.modes.undo(); len(undo) > 0 {
		_, _ = t.out.Write(append(undo, "\x1b[0m\r\n"...))
	}
}

// whenPanicking gives the terminal back before a panic ends the program: in its modes nobody could read
// why.
func (t *terminal) whenPanicking() {
	if p := recover(); p != nil {
		t.giveBack()
		panic(p)
	}
}

// ended returns why the session ended here and not on the machine; nil where it did not.
func (t *terminal) ended(machine string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.fault != nil:
		return t.fault
	case t.left:
		return fmt.Errorf("left %s: what ran there at this terminal is ended", machine)
	}
	return nil
}
