package trust

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/statements"
)

// damaged is a machine that has heard of a revocation, and the owner's laptop.
type damaged struct {
	*cast
	t      testing.TB
	rig    FleetConfig
	laptop *Fleet
	files  map[string][]byte // of the rig, undamaged
}

func fixed(at time.Time) func() time.Time { return func() time.Time { return at } }

func newDamaged(t testing.TB) *damaged {
	t.Helper()
	c := newCast(t)
	now := begin().Add(day1)
	d := &damaged{cast: c, t: t, files: map[string][]byte{}}
	known := [][]byte{c.papers["J1"].Data, c.papers["J2"].Data, c.papers["V"].Data}
	for _, g := range c.first {
		known = append(known, g.Data)
	}
	dir := memoryDir(t)
	d.rig = FleetConfig{Dir: filepath.Join(dir, "rig"), Self: c.ids["w1"], Clock: fixed(now), Built: built()}
	d.laptop = d.create(FleetConfig{Dir: filepath.Join(dir, "laptop"), Self: c.ids["J1"], Clock: fixed(now), Built: built()}, c.chains["J1"], known)
	s, err := d.laptop.Signer(c.keys["J1"])
	if err != nil {
		t.Fatal(err)
	}
	if err := d.laptop.Issuance().Revoke(s, []peer.ID{c.ids["e"]}, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.laptop.Issuance().Revoke(c.signer, []peer.ID{c.ids["J2"]}, nil); err != nil {
		t.Fatal(err)
	}
	d.create(d.rig, c.chains["w1"], append(known, d.laptop.Exchange().Common()...))
	for _, name := range []string{statements.StatementsFile, statements.IndexFile, statements.FloorFile, membershipFile} {
		data, err := os.ReadFile(filepath.Join(d.rig.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		d.files[name] = data
	}
	return d
}

func (d *damaged) create(cfg FleetConfig, c Chain, known [][]byte) *Fleet {
	d.t.Helper()
	f, err := CreateFleet(cfg, Membership{d.root.Fleet(), theFleet, c}, known)
	if err != nil {
		d.t.Fatal(err)
	}
	return f
}

// with puts all files in place, but one as it is given; nil deletes it.
func (d *damaged) with(name string, data []byte) {
	d.t.Helper()
	if err := os.RemoveAll(d.rig.Dir); err != nil {
		d.t.Fatal(err)
	}
	if err := os.MkdirAll(d.rig.Dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	for other, good := range d.files {
		if other == name {
			good = data
		}
		if good == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(d.rig.Dir, other), good, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

// check holds a machine with one damaged file to what is promised: it starts, it obeys nobody who
// was revoked, and after one contact with the laptop it obeys the others, also after a start.
func (d *damaged) check(what string) {
	d.t.Helper()
	f, err := OpenFleet(d.rig)
	if err != nil {
		d.t.Errorf("%s: it does not start: %v", what, err)
		return
	}
	d.revokedStay(what, f)
	d.contact(f)
	for _, when := range []string{"after a contact", "after a start"} {
		d.revokedStay(what+", "+when, f)
		if err := errors.Join(f.Whole(), f.May(d.ids["J1"], verbDo), f.May(d.ids["c1"], verbDo)); err != nil {
			d.t.Errorf("%s, %s: %v", what, when, err)
			return
		}
		if f, err = OpenFleet(d.rig); err != nil {
			d.t.Errorf("%s: it does not start again: %v", what, err)
			return
		}
	}
}

func (d *damaged) revokedStay(what string, f *Fleet) {
	d.t.Helper()
	for _, p := range []string{"e", "J2"} {
		if f.May(d.ids[p], verbDo) == nil {
			d.t.Errorf("%s: it obeys %s, who was revoked", what, p)
		}
	}
}

// contact is what a rig and a laptop do: each shows its grant, and what one lacks the other gives.
func (d *damaged) contact(f *Fleet) {
	d.t.Helper()
	ids, buckets, _ := d.laptop.Exchange().Differing(d.rig.Self, f.Exchange().Sums(d.laptop.memory.cfg.Self), ID{}, 3000)
	if _, err := f.Learn(d.laptop.Exchange().Bodies(d.rig.Self, f.Exchange().Lacks(ids))...); err != nil {
		d.t.Errorf("learn: %v", err)
	}
	if _, err := d.laptop.Learn(f.Exchange().Beyond(d.laptop.memory.cfg.Self, ids, buckets)...); err != nil {
		d.t.Errorf("learn: %v", err)
	}
	m, _ := d.laptop.Known(d.ids["c1"])
	if _, err := f.Admit(d.ids["c1"], m.Chain); err != nil {
		d.t.Errorf("admit: %v", err)
	}
}

// No single file, however it is damaged, makes a machine forget a revocation while it decides; and
// none keeps it from starting, or from being made whole by one contact.
func TestDamage(t *testing.T) {
	d := newDamaged(t)
	for name, good := range d.files {
		for how, data := range map[string][]byte{
			"as it was": good, "deleted": nil, "emptied": {}, "NULs": make([]byte, len(good)), "half": good[:len(good)/2], "a byte short": good[:len(good)-1],
			"a line short": good[:bytes.LastIndexByte(good[:len(good)-1], '\n')+1], "twice": append(bytes.Clone(good), good...), "something else": []byte("hello\n"),
		} {
			d.with(name, data)
			d.check(name + " " + how)
		}
	}
}

// The same for single bits that are flipped.
func TestFlippedBits(t *testing.T) {
	d := newDamaged(t)
	for name, good := range d.files {
		for i := 0; i < len(good)*8; i += flippedStride {
			bad := bytes.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			d.with(name, bad)
			d.check(fmt.Sprintf("%s with bit %d of byte %d flipped (%q)", name, i%8, i/8, good[i/8]))
		}
	}
}

// Two files that are lost one after the other, with a start between: what the first one has lost
// is kept in mind by then.
func TestDamageOneAfterTheOther(t *testing.T) {
	d := newDamaged(t)
	hows := map[string]func([]byte) []byte{
		"deleted": func([]byte) []byte { return nil }, "emptied": func([]byte) []byte { return []byte{} },
		"half":          func(b []byte) []byte { return b[:len(b)/2] },
		"cut at a line": func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)/2], '\n')+1] },
	}
	names := []string{statements.StatementsFile, statements.IndexFile, statements.FloorFile, membershipFile}
	for _, first := range names {
		for firstHow, spoil := range hows {
			for _, second := range names {
				for secondHow, again := range hows {
					what := fmt.Sprintf("%s %s, then %s %s", first, firstHow, second, secondHow)
					d.with(first, spoil(d.files[first]))
					if _, err := OpenFleet(d.rig); err != nil {
						t.Errorf("%s: %v", what, err)
						continue
					}
					path := filepath.Join(d.rig.Dir, second)
					now, err := os.ReadFile(path)
					if err != nil {
						t.Errorf("%s: the first was not written anew: %v", what, err)
						continue
					}
					if data := again(now); data == nil {
						err = os.Remove(path)
					} else {
						err = os.WriteFile(path, data, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
					f, err := OpenFleet(d.rig)
					if err != nil {
						t.Errorf("%s: %v", what, err)
						continue
					}
					d.revokedStay(what, f)
				}
			}
		}
	}
}
