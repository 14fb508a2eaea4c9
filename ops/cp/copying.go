package cp

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

const (
	tries         = 3 // at a file that changes while it is copied
	defaultWithin = 30 * time.Second
)

// Copying copies between this machine and another one. When the connection is lost, it goes on over the
// next one: see [streams.Resumption]. A nil function is not called.
type Copying struct {
	streams.Resumption
	// Via, if set, returns the client for the next attempt, or nil for that which was given.
	Via func() *streams.Client
	// Within is how long the machine may take to answer each time; 0 means 30 s.
	Within time.Duration
	// Begin is told once what is to be copied, and where to.
	Begin func(b Beginning)
	// Progress is told how many bytes are where they are to be, of all. It may go back. It is called by one
	// goroutine at a time, as Copied is.
	Progress func(done, total int64)
	// Copied is told what became of each file and directory.
	Copied func(f File)
}

// Beginning is what is to be copied.
type Beginning struct {
	// From and To are paths, each of the machine that it is on.
	From string `json:"from"`
	To   string `json:"to"`
	// Dir is set for a directory.
	Dir bool `json:"dir,omitzero"`
	// Files and Bytes are how much it is.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// File is what became of one file or directory.
type File struct {
	// Path is relative to what is copied, with slashes; "." is that itself.
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Size is that of the file, and Sent how many bytes of it went over the wire this time.
	Size  int64 `json:"size"`
	Sent  int64 `json:"sent"`
	State State `json:"state"`
	// Err is set where it failed, which is then not there, or as it was before.
	Err error `json:"error,omitzero"`
}

// Total is what became of a copy.
type Total struct {
	Beginning
	// Copied and Unchanged are files, and Failed files and directories.
	Copied    int `json:"copied"`
	Unchanged int `json:"unchanged"`
	Failed    int `json:"failed"`
	// Sent is how many bytes of contents went over the wire.
	Sent int64 `json:"sent"`
	// Left is what was left out.
	Left Left `json:"left"`
}

// Get copies a file or a tree of a machine to this one. local is a path as people give it to cp: into it
// where it is a directory, else that is the copy's name. Files that are there are replaced, each at once.
// A file that cannot be copied ends nothing; an error does, beside it the sum says how far it came.
func (c Copying) Get(ctx context.Context, cl *streams.Client, machine peer.ID, remote, local string) (Total, error) {
	g := &getting{copying: newCopying(c, cl, machine), remote: remote, local: local}
	defer g.close()
	err := g.Do(ctx, cl, machine, g.attempt)
	return g.total(), err
}

// Put copies a file or a tree of this machine to another one, as Get does.
func (c Copying) Put(ctx context.Context, cl *streams.Client, machine peer.ID, local, remote string) (Total, error) {
	p := &putting{copying: newCopying(c, cl, machine), local: local, remote: remote}
	if err := p.look(ctx); err != nil {
		return Total{}, err
	}
	defer p.source.close()
	err := p.Do(ctx, cl, machine, p.attempt)
	return p.total(), err
}

// copying is what both directions know.
type copying struct {
	Copying
	client  *streams.Client
	machine peer.ID
	entries []Entry // each directory before what is in it
	buf     []byte

	mu    sync.Mutex // guards what follows
	items []item     // of each entry
	sum   Total
	done  int64 // bytes, for Progress
	goal  int64
}

// item is what becomes of an entry.
type item struct {
	over  bool // it was copied, or failed
	made  bool // a directory that is there, and not sealed
	tries int
	here  int64 // bytes that count as done
	sent  int64
}

func newCopying(c Copying, cl *streams.Client, machine peer.ID) *copying {
	return &copying{Copying: c, client: cl, machine: machine, buf: make([]byte, MaxPiece)}
}

// session asks for one, and returns this end of it with what the machine says first.
func (c *copying) session(ctx context.Context, dial func(context.Context, *streams.Client) (*streams.Conn, error)) (*wire, *place, error) {
	within := cmp.Or(c.Within, defaultWithin)
	opening, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := dial(opening, c.via())
	if err != nil {
		return nil, nil, err
	}
	w := newWire(ctx, conn)
	stop := context.AfterFunc(ctx, w.reset)
	defer stop()
	conn.SetReadDeadline(time.Now().Add(within))
	var a answer
	if err = w.receive(&a); err == nil {
		err = wanted(a, a.Place != nil && checkAsked(a.Place.Path) == nil)
	}
	conn.SetReadDeadline(time.Time{})
	if err != nil {
		w.reset()
		return nil, nil, cmp.Or(context.Cause(ctx), lost(err))
	}
	return w, a.Place, nil
}

// via is the client for an attempt.
func (c *copying) via() *streams.Client {
	if c.Via == nil {
		return c.client
	}
	return cmp.Or(c.Via(), c.client)
}

// begins tells what is to be copied.
func (c *copying) begins(from, to string) {
	c.items = make([]item, len(c.entries))
	c.sum.Beginning = Beginning{From: from, To: to, Dir: c.entries[0].Kind == KindDir}
	for _, e := range c.entries {
		if e.Kind == KindFile {
			c.sum.Files++
			c.sum.Bytes += e.Size
		}
	}
	c.goal = c.sum.Bytes
	if c.Begin != nil {
		c.Begin(c.sum.Beginning)
	}
}

// todo are the entries of a kind that are neither copied nor given up.
func (c *copying) todo(k Kind) (out []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.entries {
		if e.Kind == k && !c.items[i].over {
			out = append(out, i)
		}
	}
	return out
}

// unsealed are the directories that are to get their modes, the deepest first.
func (c *copying) unsealed() (out []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.entries) - 1; i >= 0; i-- {
		if c.items[i].made {
			out = append(out, i)
		}
	}
	return out
}

// moved counts bytes of a file that are where they are to be: from is where they begin.
func (c *copying) moved(i int, from, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.items[i]
	c.done += from + bytes - t.here
	t.here = from + bytes
	c.progress()
}

// progress tells how far it has come; c.mu is held.
func (c *copying) progress() {
	if c.Progress != nil {
		c.Progress(c.done, c.goal)
	}
}

// ended tells what became of an entry.
func (c *copying) ended(i int, s State, sent int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, t := c.entries[i], &c.items[i]
	t.over = true
	f := File{Path: e.Path, Kind: e.Kind, Size: e.Size, Sent: t.sent + sent, State: s, Err: err}
	c.sum.Sent += sent
	switch {
	case err != nil:
		f.State = StateFailed
		c.sum.Failed++
	case e.Kind == KindDir:
		t.made = true // as far as its mode goes
	case s == StateUnchanged:
		c.sum.Unchanged++
	default:
		c.sum.Copied++
	}
	if e.Kind == KindFile && err == nil {
		c.done += e.Size - t.here
		t.here = e.Size
		c.progress()
	}
	if c.Copied != nil && (err != nil || e.Kind == KindFile) {
		c.Copied(f)
	}
}

// again counts an attempt at a file that has changed, and reports whether there is to be another one.
func (c *copying) again(i int, now Entry, sent int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, t := &c.entries[i], &c.items[i]
	t.sent += sent
	c.sum.Sent += sent
	if t.tries++; t.tries >= tries || now.Kind != KindFile {
		return false
	}
	c.goal += now.Size - e.Size
	e.Size, e.Mode, e.MTime = now.Size, now.Mode, now.MTime
	return true
}

// sealed is what became of giving a directory its mode.
func (c *copying) sealed(i int, err error) {
	c.mu.Lock()
	c.items[i].made = false
	c.mu.Unlock()
	if err != nil {
		c.ended(i, StateFailed, 0, err)
	}
}

func (c *copying) total() Total {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// base is what something is called in another directory, as it was named; empty for what has no name of its
// own, such as "." and "/".
func base(p string, isSeparator func(byte) bool) string {
	for len(p) > 0 && isSeparator(p[len(p)-1]) {
		p = p[:len(p)-1]
	}
	i := len(p)
	for i > 0 && !isSeparator(p[i-1]) {
		i--
	}
	switch name := p[i:]; {
	case name == ".", name == "..":
		return ""
	case len(name) == 2 && name[1] == ':' && isSeparator('\\'):
		return "" // a drive
	default:
		return name
	}
}

// remoteBase is base of a path of another machine, whose system is not known: only what ends in a drive
// letter, or has no slash, is taken for one of Windows.
func remoteBase(p string) string {
	windows := strings.Contains(p, `\`) && (!strings.Contains(p, "/") || len(p) > 1 && p[1] == ':')
	return base(p, func(b byte) bool { return b == '/' || windows && b == '\\' })
}

func localBase(p string) string {
	return base(p, func(b byte) bool { return os.IsPathSeparator(b) })
}

// endsInSlash reports whether a path was written as that of a directory.
func endsInSlash(p string) bool {
	return p != "" && (p[len(p)-1] == '/' || os.IsPathSeparator(p[len(p)-1]))
}

// cleaned is a local path without what its end says.
func cleaned(p string) string { return filepath.Clean(cmp.Or(p, ".")) }
