package cp

import (
	"fmt"
	"math"

	"github.com/seed-b490fa12/swarm/streams"
)

// VerbCopy is the right to copy from and to the directories that the owners of machines have listed.
const VerbCopy streams.Verb = "cp"

// Family returns the family of copies: their streams count apart from all others.
func Family() streams.Family { return streams.Family{Name: "cp", Versions: []string{"1.0.0"}} }

var (
	// Read opens a session in which the machine is copied from. The errors: 404 no such file, 422 not
	// enabled by the owner or outside of the directories, 429 too many sessions.
	Read = streams.DuplexFor[ReadRequest]{Family: Family(), Request: "cp_read", Reply: "cp_reading", Verb: VerbCopy}
	// Write opens one in which it is copied to. The errors are those of Read, and 409 where something
	// else is in the way, and 422 where there is no room.
	Write = streams.DuplexFor[WriteRequest]{Family: Family(), Request: "cp_write", Reply: "cp_writing", Verb: VerbCopy}
)

// Bounds of a copy.
const (
	MaxPath    = 4096     // bytes of a path
	MaxDepth   = 100      // elements of a path below what is copied
	MaxEntries = 250_000  // files and directories of one copy
	MaxNames   = 32 << 20 // bytes of all their paths
	MaxMarks   = 64       // of what is kept of a file
	MaxAhead   = 128      // files that are announced, and whose contents were not sent
	MaxPiece   = 128 << 10

	maxInteger = 1 << 53
)

// ReadRequest asks for what is at a path.
type ReadRequest struct {
	// Path is absolute as the machine writes paths, or relative to the one directory that its owner
	// has listed.
	Path string `json:"path"`
	// List asks for what is below a directory.
	List bool `json:"list,omitzero"`
}

// Validate checks the path's form.
func (r ReadRequest) Validate() error { return checkAsked(r.Path) }

// Summary is what is recorded of the request.
func (r ReadRequest) Summary() string { return fmt.Sprintf("from path=%q", r.Path) }

// WriteRequest asks to put something at a path.
type WriteRequest struct {
	// Path is as in ReadRequest. Where it is a directory the copy goes into it, under Name.
	Path string `json:"path"`
	// Name is what is copied is called; empty means that the contents of a directory go into Path.
	Name string `json:"name,omitzero"`
	// Dir is set for a directory.
	Dir bool `json:"dir,omitzero"`
	// Bytes and Entries are what the copy has in all.
	Bytes   int64 `json:"bytes"`
	Entries int64 `json:"entries"`
}

// Validate checks the path's form, the name, and the sizes.
func (r WriteRequest) Validate() error {
	if err := checkAsked(r.Path); err != nil {
		return err
	}
	if r.Name != "" {
		if err := checkElement(r.Name); err != nil {
			return streams.Errorf(streams.CodeInvalid, "name: %w", err)
		}
	}
	switch {
	case r.Name == "" && !r.Dir:
		return streams.Errorf(streams.CodeInvalid, "a file needs a name")
	case r.Bytes < 0 || r.Bytes >= maxInteger:
		return streams.Errorf(streams.CodeInvalid, "bytes is %d, want 0 to 2^53-1", r.Bytes)
	case r.Entries < 1 || r.Entries > MaxEntries:
		return streams.Errorf(streams.CodeTooLarge, "%d files and directories, at most %d are copied at once; copy parts, or an archive", r.Entries, MaxEntries)
	}
	return nil
}

// Summary is what is recorded of the request.
func (r WriteRequest) Summary() string {
	return fmt.Sprintf("to path=%q name=%q entries=%d bytes=%d", r.Path, r.Name, r.Entries, r.Bytes)
}

// Kind is what an [Entry] is.
type Kind string

// What is copied.
const (
	KindFile Kind = "file"
	KindDir  Kind = "dir"
)

// Entry is one file or directory of a copy.
type Entry struct {
	// Path is relative to what is copied, with slashes; "." is that itself.
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Size is that of a file, in bytes.
	Size int64 `json:"size,omitzero"`
	// Mode has the permission bits, 0 to 0o777.
	Mode int64 `json:"mode"`
	// MTime is when it was changed last, in Unix milliseconds.
	MTime int64 `json:"mtime"`
}

// Validate checks what can be known of an entry without the others.
func (e Entry) Validate() error {
	if err := checkPath(e.Path); err != nil {
		return streams.Errorf(streams.CodeInvalid, "path %q: %w", shorten(e.Path), err)
	}
	switch {
	case e.Kind != KindFile && e.Kind != KindDir:
		return streams.Errorf(streams.CodeInvalid, "%q is of the kind %q: want %s or %s", shorten(e.Path), shorten(string(e.Kind)), KindFile, KindDir)
	case e.Size < 0 || e.Size >= maxInteger || e.Kind == KindDir && e.Size != 0:
		return streams.Errorf(streams.CodeInvalid, "%q has the size %d", shorten(e.Path), e.Size)
	case e.Mode < 0 || e.Mode > 0o777:
		return streams.Errorf(streams.CodeInvalid, "%q has the mode %o: want permission bits only", shorten(e.Path), e.Mode)
	case e.MTime <= -maxInteger || e.MTime >= maxInteger:
		return streams.Errorf(streams.CodeInvalid, "%q was changed at %d", shorten(e.Path), e.MTime)
	}
	return nil
}

// same reports whether two entries are of the same contents, as far as can be told without reading them.
func (e Entry) same(o Entry) bool { return e.Kind == o.Kind && e.Size == o.Size && e.MTime == o.MTime }

// Left counts what is not copied.
type Left struct {
	Links      int `json:"links,omitzero"`      // symbolic links
	Special    int `json:"special,omitzero"`    // devices, pipes and sockets
	Unfinished int `json:"unfinished,omitzero"` // what copies that were cut off have left
	Closed     int `json:"closed,omitzero"`     // directories that the owner of the machine keeps closed
	Names      int `json:"names,omitzero"`      // files whose names cannot be sent
	Unreadable int `json:"unreadable,omitzero"` // directories that cannot be read
}

// Validate refuses counts below 0.
func (l Left) Validate() error {
	for _, n := range []int{l.Links, l.Special, l.Unfinished, l.Closed, l.Names, l.Unreadable} {
		if n < 0 || n > math.MaxInt32 {
			return streams.Errorf(streams.CodeInvalid, "%d were left out", n)
		}
	}
	return nil
}

// Failed counts what should have been copied.
func (l Left) Failed() int { return l.Names + l.Unreadable }

// Sum is a SHA-256.
type Sum [32]byte

// Mark says what a file begins with: the hash of all that is before At.
type Mark struct {
	At     int64 `json:"at"`
	SHA256 Sum   `json:"sha256"`
}

// checkMarks checks what somebody has kept of a file of so many bytes.
func checkMarks(marks []Mark, size int64) error {
	if len(marks) > MaxMarks {
		return streams.Errorf(streams.CodeTooLarge, "%d marks, at most %d are allowed", len(marks), MaxMarks)
	}
	last := int64(0)
	for _, m := range marks {
		if m.At <= last || m.At > size {
			return streams.Errorf(streams.CodeInvalid, "a mark at %d of %d bytes, behind one at %d", m.At, size, last)
		}
		last = m.At
	}
	return nil
}

// The messages of a session: see docs/protocol.md. Of the members beside N one is set.
type (
	// order is what the asker wants.
	order struct {
		N    int64  `json:"n"`
		Get  *get   `json:"get,omitzero"`
		Dir  *Entry `json:"dir,omitzero"`
		Put  *Entry `json:"put,omitzero"`
		Send *send  `json:"send,omitzero"`
		Seal *Entry `json:"seal,omitzero"`
	}
	// get asks for a file, of which the asker has kept something.
	get struct {
		Entry Entry  `json:"entry"`
		Kept  []Mark `json:"kept,omitzero"`
	}
	// send says that the contents of a file follow from an offset on, or do not come.
	send struct {
		From int64 `json:"from,omitzero"`
		Drop bool  `json:"drop,omitzero"`
	}
	// answer is what the machine says.
	answer struct {
		N       int64   `json:"n,omitzero"` // of the order; 0 is of the session
		Place   *place  `json:"place,omitzero"`
		Entries []Entry `json:"entries,omitzero"`
		Listed  *Left   `json:"listed,omitzero"`
		Checked int64   `json:"checked,omitzero"` // bytes of what is kept, so far
		Kept    *kept   `json:"kept,omitzero"`
		From    *int64  `json:"from,omitzero"` // where the contents that follow begin
		Done    *done   `json:"done,omitzero"`
		Error   *fault  `json:"error,omitzero"`
	}
	// place is where the copy is on the machine, and what is read there.
	place struct {
		Path  string `json:"path"`
		Entry *Entry `json:"entry,omitzero"`
	}
	kept struct {
		Marks []Mark `json:"marks,omitzero"`
	}
	done struct {
		State State `json:"state"`
	}
	// tail ends the contents of a file.
	tail struct {
		SHA256 *Sum   `json:"sha256,omitzero"`
		Error  *fault `json:"error,omitzero"`
	}
	// fault is why an order was not done. Now is set where the file is another one by now.
	fault struct {
		Code    streams.Code `json:"code"`
		Message string       `json:"message"`
		Now     *Entry       `json:"now,omitzero"`
	}
)

// State says what was done with a file or directory.
type State string

// What was done.
const (
	StateCopied    State = "copied"    // its contents were sent, or the rest of them
	StateUnchanged State = "unchanged" // it was there already, as its hash shows
	StateMade      State = "made"      // a directory that was not there
	StateFailed    State = "failed"
)

// Validate checks the number of an order, and what it asks.
func (o order) Validate() error {
	if o.N < 1 {
		return streams.Errorf(streams.CodeInvalid, "an order has the number %d", o.N)
	}
	for _, e := range []*Entry{o.Dir, o.Put, o.Seal} {
		if e != nil {
			return e.Validate()
		}
	}
	switch {
	case o.Get != nil:
		if err := o.Get.Entry.Validate(); err != nil {
			return err
		}
		return checkMarks(o.Get.Kept, o.Get.Entry.Size)
	case o.Send != nil && o.Send.From < 0:
		return streams.Errorf(streams.CodeInvalid, "from is %d", o.Send.From)
	}
	return nil
}

// Validate checks what the machine says, but not whether it fits the order.
func (a answer) Validate() error {
	for _, e := range a.Entries {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	if a.Place != nil && a.Place.Entry != nil {
		if err := a.Place.Entry.Validate(); err != nil {
			return err
		}
	}
	if a.Error != nil && a.Error.Now != nil {
		if err := a.Error.Now.Validate(); err != nil {
			return err
		}
	}
	if a.Listed != nil {
		return a.Listed.Validate()
	}
	return nil
}
