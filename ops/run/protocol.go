package run

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/streams"
)

// VerbRun is the right to run commands.
const VerbRun streams.Verb = "run"

// Family returns the family of commands: their output has streams of its own, so that nothing else
// waits for it.
func Family() streams.Family { return streams.Family{Name: "run", Versions: []string{"1.0.0"}} }

// Run runs a command and sends what it prints. Its inputs are the command's standard input, and how much
// of the output has been dealt with.
var Run = streams.Bidi[Request, Input, Output]{
	Family: Family(), Request: "run", Input: "run_input", Reply: "run_output", Verb: VerbRun,
}

// Bounds of the messages.
const (
	// MaxEnv is how many variables a request may set, and MaxEnvBytes what they may take together, with
	// their names.
	MaxEnv      = 64
	MaxEnvBytes = 32 << 10
	// MaxDir is the longest directory, in bytes.
	MaxDir = 4096
	// MaxTimeout is the longest time that a request may set.
	MaxTimeout = 366 * 24 * time.Hour
	// MaxData is how many bytes one input or output may carry.
	MaxData = 64 << 10
	// OutputWindow is how many bytes of output may be under way that the asker has not dealt with, of
	// both streams together.
	OutputWindow = 512 << 10
	// InputWindow is how many bytes of input may be under way that the command has not taken.
	InputWindow = 256 << 10
	// MaxSide is the most rows and columns of a terminal, and MaxTerm the longest name of a kind of terminal,
	// in bytes.
	MaxSide = 4096
	MaxTerm = 64
)

// reserved begins the names of variables that are the worker's own.
const reserved = "SWARM_"

// Request asks for a command.
type Request struct {
	// Argv is the program and its arguments; no shell reads them. A program without a slash is looked
	// for in PATH.
	Argv []string `json:"argv"`
	// Dir is where it runs, an absolute path; empty means the home directory of the worker's user.
	Dir string `json:"dir,omitzero"`
	// Env are variables beside the few that every command has.
	Env map[string]string `json:"env,omitzero"`
	// Input is set when there is standard input to come; else there is none.
	Input bool `json:"input,omitzero"`
	// TimeoutMS is after how many milliseconds the command is ended; 0: it is not.
	TimeoutMS int64 `json:"timeoutMs,omitzero"`
	// TTY asks for a terminal: then all that is printed comes as that of [Stdout], input comes whatever Input
	// says, and its end is none of the command's: that of a terminal is a character. Nil: there is none.
	TTY *TTY `json:"tty,omitzero"`
	// Detach has the command go on without the asker: the answer says its ID, by which [Attach] shows what it
	// prints, and ends. There is no input and no terminal.
	Detach bool `json:"detach,omitzero"`
}

// Size is that of a terminal, in characters.
type Size struct {
	Rows int `json:"rows"`
	Cols int `json:"cols"`
}

// Validate checks the bounds.
func (s Size) Validate() error {
	if s.Rows < 1 || s.Rows > MaxSide || s.Cols < 1 || s.Cols > MaxSide {
		return fmt.Errorf("%d rows and %d columns: want 1 to %d of each", s.Rows, s.Cols, MaxSide)
	}
	return nil
}

// TTY is a terminal that a command is to have.
type TTY struct {
	// Rows and Cols are its size at first; an [Input] changes it.
	Rows int `json:"rows"`
	Cols int `json:"cols"`
	// Term is the kind of terminal that the asker has, as xterm-256color, for the variable TERM; empty leaves
	// that of the worker.
	Term string `json:"term,omitzero"`
}

// Size returns the size.
func (t TTY) Size() Size { return Size{t.Rows, t.Cols} }

// Validate checks the bounds.
func (t TTY) Validate() error {
	if err := t.Size().Validate(); err != nil {
		return fmt.Errorf("tty: %w", err)
	}
	if len(t.Term) > MaxTerm || strings.ContainsFunc(t.Term, func(r rune) bool { return !termLetter(r) }) || strings.HasPrefix(t.Term, ".") {
		return fmt.Errorf("tty: term %.80q: want at most %d letters, digits and -+._, the first no dot", t.Term, MaxTerm)
	}
	return nil
}

// termLetter reports whether the name of a kind of terminal may have a character: programs make a path of
// it.
func termLetter(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-+._", r)
}

// maxLocale is the longest name of a locale, in bytes.
const maxLocale = 64

// IsLocale reports whether a variable says a person's language and characters, as LC_TIME=de_DE.UTF-8.
func IsLocale(name, value string) bool {
	switch name {
	case "LANG", "LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT", "LC_MESSAGES",
		"LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE", "LC_TIME":
	default:
		return false
	}
	return value != "" && len(value) <= maxLocale && !strings.ContainsFunc(value, func(r rune) bool { return r != '@' && !termLetter(r) })
}

// Timeout is after how long the command is ended; 0: it is not.
func (r Request) Timeout() time.Duration { return time.Duration(r.TimeoutMS) * time.Millisecond }

// maxSummary is how much of the arguments is told, in bytes.
const maxSummary = 300

// Summary is the request in words, with the names of its variables alone: their values may be secret.
func (r Request) Summary() string {
	words := []string{r.command()}
	if r.Dir != "" {
		words = append(words, "dir="+strconv.Quote(cut(r.Dir, 80)))
	}
	if len(r.Env) > 0 {
		words = append(words, "env="+cut(strings.Join(slices.Sorted(maps.Keys(r.Env)), ","), 80))
	}
	if r.TimeoutMS > 0 {
		words = append(words, "timeout="+r.Timeout().String())
	}
	if r.TTY != nil {
		words = append(words, "tty")
	}
	if r.Detach {
		words = append(words, "detached")
	}
	return strings.Join(words, " ")
}

// command is the command line, each word quoted and its end cut off where it is long.
func (r Request) command() string {
	quoted := make([]string, len(r.Argv))
	for i, arg := range r.Argv {
		quoted[i] = strconv.Quote(cut(arg, maxSummary))
	}
	return cut(strings.Join(quoted, " "), maxSummary)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Validate checks all that can be checked without knowing the machine.
func (r Request) Validate() error {
	if len(r.Argv) == 0 || r.Argv[0] == "" {
		return errors.New("argv: there is no program")
	}
	if len(r.Argv) > driver.MaxArgs {
		return fmt.Errorf("argv: %d arguments, the program among them; at most %d", len(r.Argv), driver.MaxArgs)
	}
	size := 0
	for _, arg := range r.Argv {
		if size += len(arg); strings.ContainsRune(arg, 0) {
			return errors.New("argv: an argument has a zero byte")
		}
	}
	if size > driver.MaxArgBytes {
		return fmt.Errorf("argv: %d bytes, at most %d", size, driver.MaxArgBytes)
	}
	if r.Dir != "" && (len(r.Dir) > MaxDir || !absolute(r.Dir) || strings.ContainsRune(r.Dir, 0)) {
		return fmt.Errorf("dir: want an absolute path of at most %d bytes", MaxDir)
	}
	if r.TimeoutMS < 0 || r.TimeoutMS > MaxTimeout.Milliseconds() {
		return fmt.Errorf("timeoutMs: want 0 to %d", MaxTimeout.Milliseconds())
	}
	if r.TTY != nil {
		if err := r.TTY.Validate(); err != nil {
			return err
		}
	}
	if r.Detach && (r.TTY != nil || r.Input) {
		return errors.New("detach: a command that goes on alone has no terminal and no input")
	}
	return r.validateEnv()
}

// absolute reports whether a path is absolute on any system: which one the machine has is not known.
func absolute(p string) bool {
	return path.IsAbs(p) || len(p) > 2 && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
}

func (r Request) validateEnv() error {
	if len(r.Env) > MaxEnv {
		return fmt.Errorf("env: %d variables, at most %d", len(r.Env), MaxEnv)
	}
	size := 0
	for name, value := range r.Env {
		if !validName(name) {
			return fmt.Errorf("env: %.40q is no name: want letters, digits and _, the first no digit", name)
		}
		if strings.HasPrefix(name, reserved) {
			return fmt.Errorf("env: %.40q: names that begin with %s are the worker's own", name, reserved)
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("env: the value of %.40q has a zero byte", name)
		}
		size += len(name) + len(value)
	}
	if size > MaxEnvBytes {
		return fmt.Errorf("env: %d bytes, at most %d", size, MaxEnvBytes)
	}
	return nil
}

func validName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// Input is what the asker sends while the command runs. Members may be combined.
type Input struct {
	// Data are further bytes of standard input, MaxData at most. The asker waits while InputWindow bytes
	// have not been taken.
	Data []byte `json:"data,omitzero"`
	// End is set when there is no more standard input.
	End bool `json:"end,omitzero"`
	// Taken, if not 0, is how many bytes of the output the asker has dealt with so far, of both streams
	// together.
	Taken int64 `json:"taken,omitzero"`
	// Stop ends the command, one at a terminal by a hangup; how it ended is answered still.
	Stop bool `json:"stop,omitzero"`
	// Size, if not nil, is the size that the asker's terminal has from now on.
	Size *Size `json:"size,omitzero"`
}

// Validate checks the bounds.
func (i Input) Validate() error {
	if len(i.Data) > MaxData {
		return fmt.Errorf("data: %d bytes, at most %d", len(i.Data), MaxData)
	}
	if i.Taken < 0 {
		return errors.New("taken: it is negative")
	}
	if i.Size != nil {
		if err := i.Size.Validate(); err != nil {
			return fmt.Errorf("size: %w", err)
		}
	}
	return nil
}

// Stream is one of the two that a command prints to.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Output is one item of the answer: the first one has Started, the last one Exit, and each between them
// Data or Taken.
type Output struct {
	Started *Started `json:"started,omitzero"`
	// Stream is where Data was printed to, MaxData bytes at most, and Offset how many bytes were before.
	Stream Stream `json:"stream,omitzero"`
	Offset int64  `json:"offset,omitzero"`
	Data   []byte `json:"data,omitzero"`
	// Taken is how many bytes of standard input the command has taken so far, or will not take.
	Taken int64 `json:"taken,omitzero"`
	Exit  *Exit `json:"exit,omitzero"`
	// Next, in an answer to [Attach], is how many bytes of both streams together came up to the end of this
	// item: what follows is asked for by that.
	Next int64 `json:"next,omitzero"`
	// Gap says which of these bytes are kept no more.
	Gap *Gap `json:"gap,omitzero"`
	// Detached are those that there are.
	Detached []Detached `json:"detached,omitzero"`
}

// Gap is output that is kept no more, from one byte to before another.
type Gap struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Validate checks the bounds.
func (o Output) Validate() error {
	switch {
	case len(o.Data) > MaxData:
		return fmt.Errorf("data: %d bytes, at most %d", len(o.Data), MaxData)
	case len(o.Data) > 0 && o.Stream != Stdout && o.Stream != Stderr:
		return fmt.Errorf("stream: %.20q is none", o.Stream)
	case o.Gap != nil && (o.Gap.From < 0 || o.Gap.To < o.Gap.From), o.Next < 0:
		return errors.New("next and gap: want bytes that follow one another")
	case len(o.Detached) > MaxDetached:
		return fmt.Errorf("detached: %d, at most %d", len(o.Detached), MaxDetached)
	}
	return nil
}

// Started is set when the command runs.
type Started struct {
	PID int `json:"pid"`
	// TTY is set when the command has the terminal that was asked for. A machine of an older program leaves
	// it out, and has none.
	TTY bool `json:"tty,omitzero"`
	// ID names a command that goes on without the asker.
	ID string `json:"id,omitzero"`
}

// Why a command ended that neither exited by itself nor was ended by a signal of others.
const (
	WhyTimeout = "timeout" // it took longer than was asked for
	WhyStopped = "stopped" // the asker wanted it to end
)

// Exit is how a command ended.
type Exit struct {
	// Code is the exit code; nil where a signal ended the command.
	Code *int `json:"code,omitzero"`
	// Signal is the signal's name, as SIGKILL, and Number its number on the machine.
	Signal string `json:"signal,omitzero"`
	Number int    `json:"number,omitzero"`
	// Why says why the worker ended the command; empty where it did not.
	Why string `json:"why,omitzero"`
	// StdoutBytes and StderrBytes are how much the command has printed. The code counts for an asker
	// that has as much.
	StdoutBytes int64 `json:"stdoutBytes"`
	StderrBytes int64 `json:"stderrBytes"`
	// Seconds is how long it ran.
	Seconds float64 `json:"seconds"`
}

// OK reports whether the command exited with 0.
func (e Exit) OK() bool { return e.Code != nil && *e.Code == 0 && e.Why == "" }

// ShellCode is the exit code as a shell would tell it: 128 and the number for a signal, 124 after a
// time-out.
func (e Exit) ShellCode() int {
	switch {
	case e.Why == WhyTimeout:
		return 124
	case e.Code != nil:
		return *e.Code
	}
	return 128 + e.Number
}

// String says how it ended, as "exit code 2" or "SIGKILL".
func (e Exit) String() string {
	text := e.Signal
	if e.Code != nil {
		text = fmt.Sprintf("exit code %d", *e.Code)
	}
	switch e.Why {
	case WhyTimeout:
		text += ", ended after its time was over"
	case WhyStopped:
		text += ", ended because that was asked"
	}
	return text
}
