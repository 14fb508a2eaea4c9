//go:build unix

package cp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/streams"
)

// hostileWorker is a site whose worker says what a test wants, in place of what it should.
func hostileWorker(t *testing.T, says func(w *wire) error) *site {
	t.Helper()
	s := newBareSite(t)
	must(t, Read.Handle(s.Mux, func(ctx context.Context, _ streams.Peer, _ ReadRequest, accept func() (*streams.Conn, error)) error {
		conn, err := accept()
		if err != nil {
			return err
		}
		w := newWire(ctx, conn)
		says(w) // it ends when the laptop has had enough
		w.close()
		return nil
	}))
	return s
}

func root(k Kind) answer {
	e := Entry{Path: ".", Kind: k, Mode: 0o755}
	return answer{Place: &place{Path: "/srv/x", Entry: &e}}
}

func file(path, content string) Entry {
	return Entry{Path: path, Kind: KindFile, Size: int64(len(content)), Mode: 0o644}
}

// offers lists entries, and sends the content "evil" for each file that is asked for.
func offers(entries ...Entry) func(w *wire) error {
	return func(w *wire) error {
		err := errors.Join(w.send(root(KindDir)), w.send(answer{Entries: entries}), w.send(answer{Listed: &Left{}}))
		for err == nil {
			var o order
			if err = w.receive(&o); err == nil {
				err = sendFile(w, o.N, "evil", 0)
			}
		}
		return err
	}
}

// sendFile sends a file, with the hash of its content.
func sendFile(w *wire, n int64, content string, from int64) error {
	sum := Sum(sha256.Sum256([]byte(content)))
	return errors.Join(w.send(answer{N: n, From: &from}), w.piece([]byte(content)), w.pieces(tail{SHA256: &sum}))
}

// A worker that does not keep to the protocol has no file made on the laptop but those that were asked for.
func TestHostileWorker(t *testing.T) {
	dir := Entry{Path: "d", Kind: KindDir, Mode: 0o755}
	evil := file("f", "evil")
	with := func(change func(*Entry)) Entry {
		e := evil
		change(&e)
		return e
	}
	one := func(answers func(w *wire, n int64) error) func(w *wire) error {
		return func(w *wire) error {
			err := errors.Join(w.send(root(KindDir)), w.send(answer{Entries: []Entry{evil}}), w.send(answer{Listed: &Left{}}))
			var o order
			if err == nil {
				err = w.receive(&o)
			}
			if err == nil {
				err = answers(w, o.N)
			}
			for err == nil {
				err = w.receive(&o)
			}
			return err
		}
	}
	zero := int64(0)
	sum := Sum(sha256.Sum256([]byte("evil")))
	for name, says := range map[string]func(w *wire) error{
		"a way out":               offers(with(func(e *Entry) { e.Path = "../f" })),
		"a way out further on":    offers(dir, with(func(e *Entry) { e.Path = "d/../../f" })),
		"an absolute path":        offers(with(func(e *Entry) { e.Path = "/tmp/f" })),
		"a path that ends in /":   offers(with(func(e *Entry) { e.Path = "f/" })),
		"an empty element":        offers(dir, with(func(e *Entry) { e.Path = "d//f" })),
		"an empty path":           offers(with(func(e *Entry) { e.Path = "" })),
		"a dot":                   offers(dir, with(func(e *Entry) { e.Path = "d/./f" })),
		"control characters":      offers(with(func(e *Entry) { e.Path = "f\x1b[2J" })),
		"a null":                  offers(with(func(e *Entry) { e.Path = "f\x00" })),
		"a link":                  offers(Entry{Path: "l", Kind: "link"}, with(func(e *Entry) { e.Path = "l/f" })),
		"a file in a file":        offers(evil, with(func(e *Entry) { e.Path = "f/f" })),
		"no directory":            offers(with(func(e *Entry) { e.Path = "no/f" })),
		"twice":                   offers(evil, evil),
		"a file and directory":    offers(evil, Entry{Path: "f", Kind: KindDir}),
		"the root again":          offers(with(func(e *Entry) { e.Path = "." })),
		"setuid":                  offers(with(func(e *Entry) { e.Mode = 0o4755 })),
		"a negative mode":         offers(with(func(e *Entry) { e.Mode = -1 })),
		"a negative size":         offers(with(func(e *Entry) { e.Size = -1 })),
		"a huge size":             offers(with(func(e *Entry) { e.Size = maxInteger })),
		"a part":                  offers(with(func(e *Entry) { e.Path = ".f.swarm-part" })),
		"a name that is too long": offers(with(func(e *Entry) { e.Path = strings.Repeat("x", 256) })),
		"another root":            func(w *wire) error { return w.send(answer{Place: &place{Path: "x", Entry: &evil}}) },
		"no root":                 func(w *wire) error { return w.send(answer{Place: &place{Path: "x"}}) },
		"a path with controls":    func(w *wire) error { a := root(KindDir); a.Place.Path = "x\x1b"; return w.send(a) },
		"nothing":                 func(*wire) error { return nil },
		"a list without an end": func(w *wire) error {
			for i := 0; ; i++ {
				if err := w.send(answer{Entries: []Entry{file(fmt.Sprint(i), "")}}); err != nil {
					return err
				}
			}
		},
		"more bytes": one(func(w *wire, n int64) error {
			return errors.Join(w.send(answer{N: n, From: &zero}), w.piece([]byte("evil!")), w.pieces(tail{SHA256: &sum}))
		}),
		"more zeros": one(func(w *wire, n int64) error {
			return errors.Join(w.send(answer{N: n, From: &zero}), w.piece(make([]byte, 5)), w.pieces(tail{SHA256: &sum}))
		}),
		"fewer bytes": one(func(w *wire, n int64) error {
			return errors.Join(w.send(answer{N: n, From: &zero}), w.piece([]byte("evi")), w.pieces(tail{SHA256: &sum}))
		}),
		"other bytes": one(func(w *wire, n int64) error {
			return errors.Join(w.send(answer{N: n, From: &zero}), w.piece([]byte("good")), w.pieces(tail{SHA256: &sum}))
		}),
		"a piece that is too large": one(func(w *wire, n int64) error {
			err := w.send(answer{N: n, From: &zero})
			w.bw.Write(binary.AppendUvarint(nil, (MaxPiece+1)<<1))
			w.bw.Write(make([]byte, MaxPiece+1))
			return errors.Join(err, w.bw.Flush())
		}),
		"a number that is too large": one(func(w *wire, n int64) error {
			err := w.send(answer{N: n, From: &zero})
			w.bw.Write(bytes.Repeat([]byte{0xff}, 20))
			return errors.Join(err, w.bw.Flush())
		}),
		"a message that is too large": func(w *wire) error {
			w.bw.Write(binary.AppendUvarint(nil, maxMessage+1))
			w.bw.Write(make([]byte, maxMessage+1))
			return w.bw.Flush()
		},
		"a hash and an error": one(func(w *wire, n int64) error {
			return errors.Join(w.send(answer{N: n, From: &zero}), w.piece([]byte("evil")), w.pieces(tail{SHA256: &sum, Error: &fault{}}))
		}),
		"another number":  one(func(w *wire, n int64) error { return sendFile(w, n+1, "evil", 0) }),
		"from the middle": one(func(w *wire, n int64) error { return sendFile(w, n, "il", 2) }),
		"from before":     one(func(w *wire, n int64) error { return sendFile(w, n, "evil", -1) }),
		"from behind":     one(func(w *wire, n int64) error { return sendFile(w, n, "", 5) }),
		"always another one": func(w *wire) error {
			err := errors.Join(w.send(root(KindDir)), w.send(answer{Entries: []Entry{evil}}), w.send(answer{Listed: &Left{}}))
			for err == nil {
				var o order
				if err = w.receive(&o); err == nil {
					now := o.Get.Entry
					now.Path, now.MTime = "../../f", now.MTime+1
					err = w.send(answer{N: o.N, Error: &fault{Code: 409, Now: &now}})
				}
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := hostileWorker(t, says)
			r := s.copy(t.Context(), Copying{Resumption: streams.Resumption{}}, false, "/srv/x", s.here+"/x")
			if name == "nothing" {
				return
			}
			if r.err == nil && r.Failed == 0 {
				t.Errorf("all is well: %+v", r.Total)
			}
			all := describe(t, filepath.Dir(s.here))
			for p := range all {
				switch p {
				case ".", "here", "here/x", "here/.x.swarm-part", "here/.x.swarm-part/d":
				default:
					t.Errorf("there is %s", p)
				}
			}
		})
	}
}

// A worker that says what it should is copied from, by the same means: so the cases above fail for what is
// wrong in them.
func TestHonestByHand(t *testing.T) {
	s := hostileWorker(t, offers(Entry{Path: "d", Kind: KindDir, Mode: 0o755}, file("f", "evil"), file("d/f", "evil")))
	r := s.copy(t.Context(), Copying{}, false, "/srv/x", s.here)
	must(t, r.err)
	if b, err := os.ReadFile(s.here + "/x/d/f"); string(b) != "evil" || r.Copied != 2 {
		t.Errorf("%q, %v, %+v", b, err, r.Total)
	}
}

// by opens a session of a controller that says what a test wants.
func (s *site) by(t *testing.T, req WriteRequest) *wire {
	t.Helper()
	conn, err := Write.Dial(t.Context(), s.Client, s.Server.ID(), req)
	must(t, err)
	w := newWire(t.Context(), conn)
	var a answer
	t.Cleanup(w.reset)
	must(t, w.receive(&a))
	must(t, a.Error.errOrNil())
	return w
}

func (f *fault) errOrNil() error {
	if f == nil {
		return nil
	}
	return f.err()
}

// asked sends an order and returns its answer.
func asked(w *wire, o order) (a answer, err error) {
	if err = w.send(o); err == nil {
		err = w.receive(&a)
	}
	return a, err
}

// A controller that does not keep to the protocol makes nothing outside of where it copies to, nor through a
// link there.
func TestHostileController(t *testing.T) {
	outside := t.TempDir()
	for name, says := range map[string]func(w *wire) error{
		"a way out":             func(w *wire) error { e := file("../f", "evil"); return w.send(order{N: 1, Put: &e}) },
		"a directory outside":   func(w *wire) error { e := Entry{Path: "../d", Kind: KindDir}; return w.send(order{N: 1, Dir: &e}) },
		"an absolute path":      func(w *wire) error { e := file(outside+"/f", "evil"); return w.send(order{N: 1, Put: &e}) },
		"through a link":        func(w *wire) error { return puts(w, "out/f") },
		"through a link inside": func(w *wire) error { return puts(w, "inside/f") },
		"onto a link":           func(w *wire) error { return puts(w, "link") },
		"onto a dangling link":  func(w *wire) error { return puts(w, "dangling") },
		"onto a directory":      func(w *wire) error { return puts(w, "dir") },
		"no directory":          func(w *wire) error { return puts(w, "no/f") },
		"a directory that is a link": func(w *wire) error {
			e := Entry{Path: "out", Kind: KindDir, Mode: 0o755}
			_, err := asked(w, order{N: 1, Dir: &e})
			return errors.Join(err, puts(w, "out/f"))
		},
		"the mode of a link": func(w *wire) error {
			e := Entry{Path: "out", Kind: KindDir, Mode: 0}
			_, err := asked(w, order{N: 1, Seal: &e})
			return err
		},
		"setuid":        func(w *wire) error { e := file("f", "evil"); e.Mode = 0o4755; return w.send(order{N: 1, Put: &e}) },
		"not announced": func(w *wire) error { return w.send(order{N: 1, Send: &send{}}) },
		"a part":        func(w *wire) error { e := file(".f.swarm-part", "evil"); return w.send(order{N: 1, Put: &e}) },
		"another hash":  func(w *wire) error { return putsAs(w, "f", 4, "evil", "good") },
		"more bytes":    func(w *wire) error { return putsAs(w, "f", 4, "evil!", "evil!") },
		"fewer bytes":   func(w *wire) error { return putsAs(w, "f", 4, "evi", "evi") },
		"no order":      func(w *wire) error { return w.send(order{N: 1}) },
		"no number":     func(w *wire) error { e := file("f", "evil"); return w.send(order{Put: &e}) },
		"reading":       func(w *wire) error { return w.send(order{N: 1, Get: &get{Entry: file("f", "evil")}}) },
		"twice at once": func(w *wire) error {
			e := file("f", "evil")
			return errors.Join(w.send(order{N: 1, Put: &e}), w.send(order{N: 1, Put: &e}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			write(t, s.there+"/x/target", []byte("target"), 0o644)
			must(t, os.Mkdir(s.there+"/x/dir", 0o755), os.Symlink(outside, s.there+"/x/out"), os.Symlink("dir", s.there+"/x/inside"),
				os.Symlink("target", s.there+"/x/link"), os.Symlink(outside+"/new", s.there+"/x/dangling"))
			before := describe(t, s.there)
			w := s.by(t, WriteRequest{Path: "x", Dir: true, Entries: 1})
			says(w)
			w.conn.CloseWrite()
			for {
				var a answer
				if w.receive(&a) != nil {
					break
				}
			}
			s.sessions(t, 1)
			after := describe(t, s.there)
			delete(before, "x") // its time
			delete(after, "x")
			if bad := difference(before, after); len(bad) > 0 {
				t.Errorf("it is another one: %s", bad)
			}
			if all := describe(t, outside); len(all) != 1 {
				t.Errorf("outside there is %v", all)
			}
		})
	}
}

func puts(w *wire, path string) error { return putsAs(w, path, 4, "evil", "evil") }

// putsAs announces a file of a size, and sends a content with the hash of another one.
func putsAs(w *wire, path string, size int64, content, hashed string) error {
	e := Entry{Path: path, Kind: KindFile, Size: size, Mode: 0o644}
	a, err := asked(w, order{N: 7, Put: &e})
	if err != nil || a.Kept == nil {
		return errors.Join(err, a.Error.errOrNil())
	}
	sum := Sum(sha256.Sum256([]byte(hashed)))
	return errors.Join(w.send(order{N: 7, Send: &send{}}), w.piece([]byte(content)), w.pieces(tail{SHA256: &sum}))
}

// As many files as may be are announced ahead, and no more.
func TestAhead(t *testing.T) {
	s := newSite(t)
	for _, most := range []int{MaxAhead, MaxAhead + 1} {
		w := s.by(t, WriteRequest{Path: ".", Dir: true, Entries: 1})
		var err error
		for i := range most {
			e := file(fmt.Sprint(i), "evil")
			var a answer
			if a, err = asked(w, order{N: int64(i) + 1, Put: &e}); err == nil && a.Error != nil {
				err = a.Error.err()
			}
		}
		if (err == nil) != (most == MaxAhead) {
			t.Errorf("%d: %v", most, err)
		}
		w.reset()
	}
	s.sessions(t, 2)
	if all := describe(t, s.there); len(all) != 1 {
		t.Errorf("there is %v", all)
	}
}

// While a copy runs somebody swaps its directories for links that lead elsewhere: nothing is written or read
// there.
func TestSwappedDirectories(t *testing.T) {
	outside := t.TempDir()
	write(t, outside+"/secret", []byte("secret"), 0o644)
	must(t, os.Mkdir(outside+"/sub", 0o755))
	write(t, outside+"/sub/secret", []byte("secret"), 0o644)
	before := describe(t, outside)
	for _, to := range []bool{true, false} {
		s := newSite(t)
		from, dst := s.ends(to)
		for i := range 40 {
			write(t, fmt.Sprintf("%s/t/d/sub/%d", from, i), []byte("public"), 0o644)
			write(t, fmt.Sprintf("%s/t/d/%d", from, i), []byte("public"), 0o644)
		}
		write(t, from+"/t/d/secret", []byte("public"), 0o644)
		write(t, from+"/t/d/sub/secret", []byte("public"), 0o644)
		var (
			swapping sync.WaitGroup
			still    sync.RWMutex // locked: nothing is swapped
			stop     = make(chan struct{})
		)
		for _, dir := range []string{from + "/t", dst + "/t"} {
			swapping.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						os.Remove(dir + "/d")
						os.Rename(dir+"/away", dir+"/d")
						return
					default:
					}
					still.RLock()
					swap(dir, outside, i%2)
					still.RUnlock()
				}
			})
		}
		for began := time.Now(); time.Since(began) < 1500*time.Millisecond; {
			s.copy(t.Context(), Copying{}, to, from+"/t", dst)
			still.Lock()
			filepath.WalkDir(dst, func(p string, _ os.DirEntry, err error) error {
				if b, _ := os.ReadFile(p); string(b) == "secret" {
					t.Errorf("%s is a copy of the secret", p)
				}
				return nil
			})
			still.Unlock()
		}
		close(stop)
		swapping.Wait()
		if bad := difference(before, describe(t, outside)); len(bad) > 0 {
			t.Errorf("outside is another one: %s", bad)
		}
	}
}

// swap puts a link in place of a directory, for a moment.
func swap(dir, outside string, how int) {
	at := dir + "/d"
	if how == 1 {
		at += "/sub"
	}
	if os.Rename(at, dir+"/away") != nil {
		return
	}
	os.Symlink(outside, at)
	os.Remove(at)
	os.Rename(dir+"/away", at)
}

// FuzzMessages reads what a machine, or a controller, might send.
func FuzzMessages(f *testing.F) {
	var buf bytes.Buffer
	for _, v := range []any{
		root(KindDir), answer{Entries: []Entry{file("a", "x")}}, order{N: 1, Get: &get{Entry: file("a", "x"), Kept: []Mark{{At: 1}}}},
		tail{SHA256: &Sum{}}, answer{N: 1, Error: &fault{Code: 409, Message: "x"}},
	} {
		buf.Reset()
		w := &wire{bw: bufio.NewWriter(&buf)}
		w.send(v)
		f.Add(bytes.Clone(buf.Bytes()), int64(10))
	}
	f.Add([]byte{4, 'a', 'b', 3, 0, 2, '{', '}'}, int64(10))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		for _, read := range []func(w *wire) error{
			func(w *wire) error { return w.receive(new(order)) },
			func(w *wire) error { return w.receive(new(answer)) },
			func(w *wire) error {
				var n int64
				_, _, err := w.contents(size, make([]byte, MaxPiece), func(b []byte, _ bool) error { n += int64(len(b)); return nil })
				if n > max(size, 0) {
					t.Errorf("%d bytes of %d", n, size)
				}
				return err
			},
		} {
			w := &wire{br: bufio.NewReader(bytes.NewReader(b)), zeros: make([]byte, MaxPiece)}
			for range 10 {
				if read(w) != nil {
					break
				}
			}
		}
	})
}
