package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// ErrUnsafe says that somebody else could have written the policy file. Its owner has to look at
// it, and then to correct who it belongs to or its mode.
var ErrUnsafe = errors.New("policy file refused")

// Parse reads a policy. Unknown and repeated keys are errors; an error matches [ErrInvalid] and
// names the line.
func Parse(text []byte) (Policy, error) {
	if len(text) > MaxFile {
		return Policy{}, fmt.Errorf("%w: it has more than %d bytes", ErrInvalid, MaxFile)
	}
	var p Policy
	if err := json.Unmarshal(text, &p, json.RejectUnknownMembers(true)); err != nil {
		return Policy{}, fmt.Errorf("%w: %s", ErrInvalid, explain(text, err))
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) { // null is no error to the decoder
		return Policy{}, fmt.Errorf("%w: line 1: want an object", ErrInvalid)
	}
	return p, p.Validate()
}

// explain says in words, and with its line, what the decoder did not like.
func explain(text []byte, err error) string {
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		line := lineAt(text, bad.ByteOffset)
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return fmt.Sprintf("line %d: unknown key %q", line, bad.JSONPointer)
		default:
			return fmt.Sprintf("line %d: %q: want another type of value than %v", line, bad.JSONPointer, bad.JSONKind)
		}
	}
	if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("line %d: %v", lineAt(text, bad.ByteOffset), bad.Err)
	}
	return err.Error()
}

// lineAt is the line, from 1, of what begins after the white space at an offset.
func lineAt(text []byte, offset int64) int {
	at := int(min(max(offset, 0), int64(len(text))))
	for at < len(text) && bytes.IndexByte([]byte(" \t\r\n,"), text[at]) >= 0 {
		at++
	}
	return 1 + bytes.Count(text[:at], []byte("\n"))
}

// Load reads the policy file at path. Without a file the policy is [Default]. A file that somebody
// else than its owner can write, or that belongs to another user than us and root, is refused with
// [ErrUnsafe].
func Load(path string) (Policy, error) {
	text, err := durable.ReadFile(path, MaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Default(), nil
	case errors.Is(err, durable.ErrUnsafe):
		return Policy{}, fmt.Errorf("%w: %w", ErrUnsafe, err)
	case err != nil:
		return Policy{}, fmt.Errorf("read policy: %w", err)
	}
	p := Policy{}
	if text, err = durable.Text(text); err == nil {
		p, err = Parse(text)
	}
	if err != nil {
		return Policy{}, fmt.Errorf("%s: %w; correct it, or move it away: then nothing is allowed but what --enable says",
			path, err)
	}
	return p, nil
}

// Write puts the policy at path, with mode 0600, in place of what is there. When it returns nil, it
// is on the disk.
func (p Policy) Write(path string) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("write policy: %w", err)
	}
	text, err := json.Marshal(p, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write policy: %w", err)
	}
	if len(text) >= MaxFile {
		return fmt.Errorf("write policy: %w: it has more than %d bytes", ErrInvalid, MaxFile)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write policy: %w", err)
	}
	return durable.WriteFile(path, append(text, '\n'), 0o600)
}

// File is the policy of a running worker: what a file says and what was enabled for this run. All
// its methods may be called concurrently.
type File struct {
	path    string
	words   []string
	current atomic.Pointer[Policy]
}

// Open reads the policy at path, as [Load] does, and adds what words say, as [Policy.Enable] does.
func Open(path string, words ...string) (*File, error) {
	f := &File{path: path, words: slices.Clone(words)}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the file again. On an error the policy stays as it was.
func (f *File) Reload() error {
	p, err := Load(f.path)
	if err != nil {
		return err
	}
	if err := p.Enable(f.words...); err != nil {
		return err
	}
	f.current.Store(&p)
	return nil
}

// SetWords makes words what is allowed beside the file, and reads that again. On an error the policy
// stays as it was. It is not for several goroutines at once.
func (f *File) SetWords(words ...string) error {
	before := f.words
	f.words = slices.Clone(words)
	err := f.Reload()
	if err != nil {
		f.words = before
	}
	return err
}

// Policy returns the policy as it is now.
func (f *File) Policy() Policy {
	if p := f.current.Load(); p != nil {
		return p.Clone()
	}
	return Default()
}
