// Package statements keeps on the disk what a member of a fleet must not forget: signed statements, an
// index of those that have to be there, and the earliest time that it can be.
package statements

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// The files of a membership. Each can be lost or damaged alone, and what decides about rights is
// known or said to be missing: the index names what the statements must hold, and a line "missing"
// among the statements what the index must.
const (
	StatementsFile = "statements"
	IndexFile      = "index"
	FloorFile      = "floor"
	lockFile       = "lock" // held while the statements and the index are written

	statementsHeader = "swarm-statements 1 "
	indexHeader      = "swarm-index 1"
	missingWord      = "missing "
	damagedSuffix    = ".damaged"

	maxLineHeader = 512
	maxFileBytes  = 512 << 20
)

// ID names a statement: the SHA-256 of its domain string, a zero byte, and what was signed.
type ID [sha256.Size]byte

// String returns 43 characters of unpadded base64url.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText returns String as bytes.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what String returns.
func (id *ID) UnmarshalText(text []byte) error {
	data, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(data) != len(id) {
		return fmt.Errorf("%.64q is no ID of a statement", text)
	}
	copy(id[:], data)
	return nil
}

// Compare orders IDs, so that a tie is broken in the same way everywhere.
func (id ID) Compare(o ID) int { return bytes.Compare(id[:], o[:]) }

// Entry is one statement in the files.
type Entry struct {
	ID   ID
	Data []byte // the signed envelope
	Kept bool   // it must not be forgotten: the index names it
}

// Store keeps statements in a folder that several processes use. Lines are only ever added, until
// the file is written anew without those that are forgotten. It is used concurrently; the methods
// that write want the lock held.
type Store struct {
	dir     string
	header  string // of the statements: it names their owner
	maxLine int    // bytes of a statement's line

	mu    sync.Mutex // guards what follows
	file  fs.FileInfo
	begun int64 // bytes of whole lines that were read
	seen  int64 // bytes that there were
	lines int   // that were read, also those that are forgotten
	// index holds the IDs of what must not be forgotten.
	index map[ID]struct{}
}

// New returns the store in a folder. The owner is a text that the file of statements begins with,
// and most is the size of the largest statement in bytes.
func New(dir, owner string, most int) *Store {
	return &Store{dir: dir, header: statementsHeader + owner, maxLine: (most+2)/3*4 + 1}
}

// Contents is what the statements held that was not read yet.
type Contents struct {
	Statements [][]byte
	Missing    []ID
	// Damaged says that a line means nothing, or that there is no header.
	Damaged bool
}

// checked returns the text by which the files name a statement: its ID and characters that check
// it, since an ID with a flipped bit would be missed for ever.
func checked(id ID) string { return id.String() + " " + checkOf(indexHeader+id.String()) }

// parseChecked reads what checked returns.
func parseChecked(text []byte) (id ID, ok bool) {
	name, _, _ := bytes.Cut(text, []byte(" "))
	ok = id.UnmarshalText(name) == nil && checked(id) == string(text)
	return id, ok
}

// checkOf returns a few characters by which a damaged text is found out.
func checkOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// Create makes the files of a new membership, which is none before fleet.json is there.
func (s *Store) Create(first []Entry) error {
	s.index = map[ID]struct{}{}
	return s.Rewrite(first, nil)
}

// Lock keeps other processes from writing until unlock is called.
func (s *Store) Lock() (unlock func() error, err error) {
	if _, err := os.Stat(s.dir); err != nil {
		return nil, err // another process has left the fleet
	}
	return durable.Lock(s.path(lockFile))
}

// Read returns what was added to the statements since it was last called, and all of the file
// when it was written anew.
func (s *Store) Read() (c Contents, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := durable.Open(s.path(StatementsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Contents{Damaged: true}, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = durable.CheckOwner(s.path(StatementsFile), info)
	}
	if err != nil {
		return c, err
	}
	if s.file == nil || !os.SameFile(s.file, info) || info.Size() < s.begun {
		s.file, s.begun, s.lines = nil, 0, 0
	}
	if info.Size() > maxFileBytes {
		return c, fmt.Errorf("%s has %d bytes, more than %d", StatementsFile, info.Size(), int64(maxFileBytes))
	}
	data, err := io.ReadAll(io.NewSectionReader(f, s.begun, info.Size()-s.begun))
	if err != nil {
		return c, err
	}
	s.parse(data, &c)
	s.file, s.seen = info, info.Size()
	return c, nil
}

// Count returns how many lines the statements have, also those that are forgotten.
func (s *Store) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines
}

// Lost reports whether one of the files is gone.
func (s *Store) Lost() bool {
	for _, name := range []string{StatementsFile, IndexFile} {
		if _, err := os.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// Stale reports whether somebody has written since the last read.
func (s *Store) Stale() bool {
	info, err := os.Lstat(s.path(StatementsFile))
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && (s.file == nil || !os.SameFile(s.file, info) || info.Size() != s.seen)
}

// parse takes whole lines; a last one without its end is being written, or was cut by a loss of
// power: it was never acknowledged. The caller holds mu.
func (s *Store) parse(data []byte, c *Contents) {
	first := s.begun == 0
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			break
		}
		s.begun += int64(len(line)) + 1
		s.lines++
		data = rest
		if first {
			first = false
			if string(line) == s.header {
				continue
			}
			c.Damaged = true
			if bytes.HasPrefix(line, []byte(statementsHeader)) {
				continue
			}
		}
		s.parseLine(line, c)
	}
	if first {
		c.Damaged = true
	}
}

func (s *Store) parseLine(line []byte, c *Contents) {
	if word, ok := bytes.CutPrefix(line, []byte(missingWord)); ok {
		if id, ok := parseChecked(word); ok {
			c.Missing = append(c.Missing, id)
			return
		}
	} else if len(line) <= s.maxLine {
		if data, err := base64.StdEncoding.Strict().DecodeString(string(line)); err == nil {
			c.Statements = append(c.Statements, data)
			return
		}
	}
	if len(line) > 0 {
		c.Damaged = true
	}
}

// Owner returns the text that the statements on the disk begin with, or "".
func (s *Store) Owner() string {
	f, err := durable.Open(s.path(StatementsFile))
	if err != nil {
		return ""
	}
	defer f.Close()
	buf := make([]byte, maxLineHeader)
	n, _ := io.ReadFull(f, buf)
	line, _, found := strings.Cut(string(buf[:n]), "\n")
	owner, ours := strings.CutPrefix(line, statementsHeader)
	if !found || !ours {
		return ""
	}
	return owner
}

// ReadIndex reads the IDs of what must not be forgotten, and reports whether the file is damaged.
func (s *Store) ReadIndex() (damaged bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := durable.ReadFile(s.path(IndexFile), maxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = nil, nil
	}
	if err != nil {
		return true, err
	}
	if s.index == nil {
		s.index = map[ID]struct{}{}
	}
	lines := strings.Split(string(data), "\n")
	damaged = lines[0] != indexHeader
	for i, line := range lines {
		id, ok := parseChecked([]byte(line))
		switch {
		case i == 0 && !damaged:
		case ok:
			s.index[id] = struct{}{}
		case i < len(lines)-1: // the last one is empty, or was cut
			damaged = true
		}
	}
	return damaged, nil
}

// Indexed returns the IDs of what must not be forgotten.
func (s *Store) Indexed() (out []ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.index {
		out = append(out, id)
	}
	return out
}

// Names reports whether the index names a statement.
func (s *Store) Names(id ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, named := s.index[id]
	return named
}

// Expect adds IDs to the index in memory.
func (s *Store) Expect(ids ...ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.index[id] = struct{}{}
	}
}

// Add writes statements: their bodies first, then the index. The caller has the lock and has read
// what others wrote.
func (s *Store) Add(statements []Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bodies, ids bytes.Buffer
	for _, st := range statements {
		bodies.WriteString(base64.StdEncoding.EncodeToString(st.Data))
		bodies.WriteByte('\n')
		if st.Kept {
			fmt.Fprintln(&ids, checked(st.ID))
		}
	}
	info, err := appendTo(s.path(StatementsFile), bodies.Bytes())
	if err != nil {
		return err
	}
	s.file, s.begun, s.seen = info, info.Size(), info.Size() // nobody else has written: the caller has the lock
	s.lines += len(statements)
	if ids.Len() > 0 {
		if _, err := appendTo(s.path(IndexFile), ids.Bytes()); err != nil {
			return err
		}
		for _, st := range statements {
			if st.Kept {
				s.index[st.ID] = struct{}{}
			}
		}
	}
	return nil
}

// appendTo adds to a file that is there, and syncs it. A last line that was cut by a loss of power
// is ended first.
func appendTo(path string, data []byte) (info fs.FileInfo, err error) {
	f, err := durable.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return nil, err
		}
		if last[0] != '\n' {
			data = append([]byte{'\n'}, data...)
		}
	}
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	return f.Stat()
}

// Rewrite writes both files anew: the statements that are kept, and what is missing. What is
// forgotten leaves the index first: whenever it is interrupted, the index names no body that is
// gone. The caller has the lock.
func (s *Store) Rewrite(statements []Entry, missing []ID) error {
	if err := s.forget(statements, missing); err != nil {
		return err
	}
	var bodies, ids bytes.Buffer
	fmt.Fprintln(&bodies, s.header)
	fmt.Fprintln(&ids, indexHeader)
	for _, st := range statements {
		bodies.WriteString(base64.StdEncoding.EncodeToString(st.Data))
		bodies.WriteByte('\n')
		if st.Kept {
			fmt.Fprintln(&ids, checked(st.ID))
		}
	}
	for _, id := range missing {
		fmt.Fprintf(&bodies, "%s%s\n", missingWord, checked(id))
		fmt.Fprintln(&ids, checked(id))
	}
	if err := durable.WriteFile(s.path(StatementsFile), bodies.Bytes(), 0o600); err != nil {
		return err
	}
	if err := durable.WriteFile(s.path(IndexFile), ids.Bytes(), 0o600); err != nil {
		return err
	}
	info, err := os.Lstat(s.path(StatementsFile))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.begun, s.seen, s.lines = info, info.Size(), info.Size(), 1+len(statements)+len(missing)
	for _, st := range statements {
		if st.Kept {
			s.index[st.ID] = struct{}{}
		}
	}
	return nil
}

// forget writes the index without what is neither kept nor missing, if there is such.
func (s *Store) forget(statements []Entry, missing []ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := make(map[ID]struct{}, len(s.index))
	var ids bytes.Buffer
	fmt.Fprintln(&ids, indexHeader)
	keep := func(id ID) {
		if _, named := s.index[id]; named {
			left[id] = struct{}{}
			fmt.Fprintln(&ids, checked(id))
		}
	}
	for _, st := range statements {
		keep(st.ID)
	}
	for _, id := range missing {
		keep(id)
	}
	if len(left) == len(s.index) {
		return nil
	}
	if err := durable.WriteFile(s.path(IndexFile), ids.Bytes(), 0o600); err != nil {
		return err
	}
	s.index = left
	return nil
}

// SetAside keeps a copy of a damaged file beside it, for a person to look at.
func (s *Store) SetAside(name string) error {
	data, err := durable.ReadFile(s.path(name), maxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.WriteFile(s.path(name)+damagedSuffix, data, 0o600)
}
