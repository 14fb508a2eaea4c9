package trust

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// scene is a small fleet for one attack: the laptop J1 and the machine w1, with real files. Keys
// of others sign as the attack likes.
type scene struct {
	*cast
	t           *testing.T
	dir         string
	now         time.Time
	laptop, rig *Fleet
	known       [][]byte
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{cast: newCast(t), t: t, dir: memoryDir(t), now: begin().Add(time.Hour)}
	for _, p := range []string{"J1", "J2", "V", "K2000"} {
		s.known = append(s.known, s.papers[p].Data)
	}
	for _, g := range s.first {
		s.known = append(s.known, g.Data)
	}
	s.papers["K"] = s.papers["K2000"]
	s.laptop, s.rig = s.open("J1", s.chains["J1"], s.known), s.open("w1", s.chains["w1"], s.known)
	return s
}

func (s *scene) open(name string, c Chain, known [][]byte) *Fleet {
	s.t.Helper()
	cfg := FleetConfig{Dir: filepath.Join(s.dir, name), Self: s.ids[name], Built: built(), Clock: func() time.Time { return s.now }}
	f, err := CreateFleet(cfg, Membership{s.root.Fleet(), theFleet, c}, known)
	s.must(err)
	return f
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// signs returns what signs as J1 on its laptop.
func (s *scene) signs() *Signer {
	s.t.Helper()
	signer, err := s.laptop.Signer(s.keys["J1"])
	s.must(err)
	return signer
}

// shows has a machine hear of what a key signs, whatever it may.
func (s *scene) shows(f *Fleet, by, sub string, g Grant) *fact {
	s.t.Helper()
	g.Subject = s.ids[sub]
	if g.Name == "" {
		g.Name = "m-" + sub
	}
	if g.Role == "" {
		g.Role = RoleController
	}
	if g.Line == (Line{}) {
		g.Line = Line{s.ids[by], newSerial()}
	}
	if g.Expires == 0 {
		g.Expires = s.now.Add(90 * day1).UnixMilli()
	}
	if g.Issued == 0 {
		g.Issued = s.now.UnixMilli()
	}
	st := s.signed(s.t, by, g, 't')
	_, err := f.Learn(st.Data)
	s.must(err)
	return st
}

// revokes has a machine hear of a revocation by an issuer's key; the evidence is its own work.
func (s *scene) revokes(f *Fleet, by, p string) {
	s.t.Helper()
	e := s.signed(s.t, by, Grant{Subject: s.id(p), Role: RoleWorker, Name: "m-x", Line: Line{s.ids[by], newSerial()}, Expires: s.now.UnixMilli()}, 't')
	r := &Revocation{Fleet: s.root.Fleet(), By: s.ids[by], Peer: s.id(p), Paper: s.papers[by].Data, Evidence: [][]byte{e.Data}, Nonce: newSerial(), Issued: s.now.UnixMilli()}
	data, err := seal(revocationKind(), r, s.keys[by])
	s.must(err)
	_, err = f.Learn(data)
	s.must(err)
}

// takeOver is the owner's: a new laptop, on which the lost signers are revoked before anything that
// others have signed is read.
func (s *scene) takeOver(lost []string, reached ...*Fleet) *Fleet {
	s.t.Helper()
	g := s.issuerGrant("J1")
	g.Subject, g.Name = s.ids["N"], "m-N"
	c, err := s.signer.Issue(g, s.now)
	s.must(err)
	n := s.open("N", c, nil)
	var ids []peer.ID
	for _, p := range lost {
		ids = append(ids, s.ids[p])
	}
	s.must(n.Issuance().Revoke(s.signer, ids, nil))
	for _, f := range reached {
		s.meet(n, f)
	}
	return n
}

// meet exchanges all that two have.
func (s *scene) meet(a, b *Fleet) {
	s.t.Helper()
	all := func(f *Fleet) (out [][]byte) {
		for _, st := range f.statements(func(*Statement) bool { return true }) {
			out = append(out, st.Data)
		}
		return out
	}
	_, err := a.Learn(all(b)...)
	s.must(err)
	_, err = b.Learn(all(a)...)
	s.must(err)
}

// refused holds that none of these may command the rig.
func (s *scene) refused(names ...string) {
	s.t.Helper()
	for _, p := range names {
		if s.rig.May(s.ids[p], verbDo) == nil {
			s.t.Errorf("the attack holds: %s commands the rig", p)
		}
	}
}

// obeyed holds that each of these may.
func (s *scene) obeyed(names ...string) {
	s.t.Helper()
	for _, p := range names {
		if err := s.rig.May(s.ids[p], verbDo); err != nil {
			s.t.Errorf("%s: %v", p, err)
		}
	}
}

// The attacks of the list, by hand.
func TestAttacks(t *testing.T) {
	for _, a := range []struct {
		name string
		run  func(*testing.T, *scene)
	}{
		{"C1: recovery signs the thief's controllers anew", func(t *testing.T, s *scene) {
			s.shows(s.rig, "J1", "x1", Grant{Verbs: fullVerbs()})
			s.obeyed("x1")
			n := s.takeOver([]string{"J1"}, s.rig)
			signer, err := n.Signer(s.keys["N"])
			s.must(err)
			if _, err := n.Issuance().Renew(signer, s.ids["x1"]); !errors.Is(err, ErrNeedsPerson) {
				t.Errorf("renewed by itself: %v", err)
			}
			_, err = n.Issuance().Renew(signer, s.ids["w1"])
			s.must(err)
			s.meet(n, s.rig)
			s.refused("x1", "J1")
			s.obeyed("N")
		}},
		{"C2: what a thief has dated ahead keeps it from being thrown out", func(t *testing.T, s *scene) {
			for _, ahead := range []time.Duration{25 * time.Hour, 330 * day1} {
				s.shows(s.rig, "J1", "x1", Grant{Verbs: fullVerbs(), Issued: s.now.Add(ahead).UnixMilli(), N: 2})
			}
			n := s.takeOver([]string{"J1"}, s.rig)
			s.meet(n, s.rig)
			s.refused("x1", "J1")
		}},
		{"C3: the next word of an issuer lifts what it had revoked", func(t *testing.T, s *scene) {
			s.must(s.laptop.Issuance().Revoke(s.signs(), []peer.ID{s.ids["e"]}, nil))
			s.meet(s.laptop, s.rig)
			s.revokes(s.rig, "J1", "nobody")
			s.refused("e")
		}},
		{"C4: a restore that reaches nobody lifts what the root had revoked", func(t *testing.T, s *scene) {
			s.must(s.rig.Issuance().Revoke(s.signer, []peer.ID{s.ids["e"]}, nil))
			s.meet(s.takeOver([]string{"J1"}), s.rig)
			s.refused("e")
		}},
		{"C5: after a lift a revocation has no effect", func(t *testing.T, s *scene) {
			s.must(s.laptop.Issuance().Revoke(s.signs(), []peer.ID{s.ids["e"]}, nil))
			if n, err := s.laptop.Issuance().Lift(s.signer, s.ids["e"]); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			s.meet(s.laptop, s.rig)
			s.obeyed("e")
			s.must(s.laptop.Issuance().Revoke(s.signs(), []peer.ID{s.ids["e"]}, nil))
			s.meet(s.laptop, s.rig)
			s.refused("e")
		}},
		{"C6: the least delegate ends the papers of all machines", func(t *testing.T, s *scene) {
			s.shows(s.rig, "K", "w1", Grant{Role: RoleWorker, N: maxDelegated - 1, Expires: s.now.Add(time.Hour).UnixMilli()})
			s.obeyed("J1", "c1")
			s.now = s.now.Add(2 * time.Hour)
			s.obeyed("J1", "c1")
		}},
		{"C7: a name that is another's peer ID", func(t *testing.T, s *scene) {
			for _, name := range []string{s.ids["w1"].String(), newSerial(), "-rf", "/ip4/127.0.0.1/tcp/1", "", "12D3KooWx"} {
				g := Grant{Subject: s.ids["x1"], Role: RoleWorker, Name: name, Line: Line{s.ids["K"], newSerial()}, Expires: s.now.Add(time.Hour).UnixMilli()}
				data, err := s.seal("K", g)
				s.must(err)
				if _, err := s.rig.Learn(data); !errors.Is(err, ErrInvalid) {
					t.Errorf("%q passes for a name: %v", name, err)
				}
			}
		}},
		{"C8: the end of an issuer ends nothing", func(t *testing.T, s *scene) {
			x1 := Line{s.ids["K"], newSerial()}
			g := Grant{Verbs: plainVerbs(), Line: x1, Accept: s.accept(t, "x1", x1), Expires: s.now.Add(year).UnixMilli()}
			s.shows(s.rig, "K", "x1", g)
			s.obeyed("x1")
			s.now = s.papers["K"].Grant.ExpiresAt().Add(2 * time.Hour)
			s.refused("x1")
			g.Issued, g.N = s.now.Add(-5*time.Hour).UnixMilli(), 2
			s.shows(s.rig, "K", "x1", g)
			s.refused("x1")
		}},
		{"C9: a controller goes on sending to what it has revoked", func(t *testing.T, s *scene) {
			s.must(s.laptop.MaySend(s.ids["w1"], true))
			s.must(s.laptop.Issuance().Revoke(s.signs(), []peer.ID{s.ids["w1"]}, nil))
			if err := s.laptop.MaySend(s.ids["w1"], true); !errors.Is(err, ErrRevokedPeer) {
				t.Errorf("the attack holds: %v", err)
			}
		}},
		{"M1: an issuer of one site throws out everybody", func(t *testing.T, s *scene) {
			for _, p := range []string{"J1", "c1", "w1", "c2"} {
				s.revokes(s.rig, "V", p)
				s.revokes(s.rig, "K", p)
			}
			s.obeyed("J1", "c1", "c2")
			if err := s.laptop.MaySend(s.ids["w1"], true); err != nil {
				t.Error(err)
			}
		}},
		{"M1: an issuer for all throws out another, with evidence that it made up", func(t *testing.T, s *scene) {
			for _, f := range []*Fleet{s.rig, s.laptop} {
				s.revokes(f, "J1", "J2")
				s.revokes(f, "J1", "N")
			}
			s.obeyed("J2")
			if err := s.laptop.MaySend(s.ids["J2"], true); err != nil || s.laptop.Revoked(s.ids["J2"]) || s.laptop.Revocation(s.ids["J2"]) != nil {
				t.Errorf("J2 is revoked: %v", err)
			}
			n := s.takeOver([]string{"J1"}, s.rig)
			s.meet(n, s.rig)
			signer, err := n.Signer(s.keys["N"])
			s.must(err)
			_, err = n.Issuance().Renew(signer, s.ids["w1"])
			s.must(err)
			s.meet(n, s.rig)
			s.obeyed("N", "J2")
		}},
		{"L3: what came by put_ticket outlives the one who brought it", func(t *testing.T, s *scene) {
			line := Line{s.ids["J1"], newSerial()}
			s.shows(s.rig, "J1", "x1", Grant{Verbs: fullVerbs(), Line: line, Accept: s.accept(t, "x1", line), Sponsor: s.ids["c2"]})
			s.obeyed("x1")
			s.must(s.laptop.Issuance().Revoke(s.signer, []peer.ID{s.ids["c2"]}, nil))
			s.meet(s.laptop, s.rig)
			s.refused("x1", "c2")
		}},
		{"L4: a date of any signer ends rights for hours", func(t *testing.T, s *scene) {
			s.shows(s.rig, "J1", "h", Grant{Verbs: plainVerbs(), Expires: s.now.Add(8 * time.Hour).UnixMilli()})
			for _, by := range []string{"K", "J2"} {
				line := Line{s.ids[by], newSerial()}
				s.shows(s.rig, by, "x1", Grant{Line: line, Accept: s.accept(t, "x1", line), Issued: s.now.Add(23 * time.Hour).UnixMilli()})
			}
			s.obeyed("h")
			if at := s.rig.Now(); !at.Equal(s.now) {
				t.Errorf("the time is %v, want %v", at, s.now)
			}
		}},
	} {
		t.Run(a.name, func(t *testing.T) { a.run(t, newScene(t)) })
	}
}

// What a key has signed before it was stolen and brought back is not confirmed by its new line, and
// what it signs anew of that by itself is not either.
func TestReinstatedSignerConfirmsNothing(t *testing.T) {
	s := newScene(t)
	old := s.shows(s.laptop, "J2", "x1", Grant{Role: RoleWorker})
	_, err := s.laptop.Issuance().Renew(s.signs(), s.ids["x1"])
	s.must(err)
	s.must(s.laptop.Issuance().Revoke(s.signer, []peer.ID{s.ids["J2"]}, nil))
	unconfirmed := func(f *Fleet, want bool) {
		t.Helper()
		if m, _ := f.Known(s.ids["x1"]); m.Err != nil || m.Unconfirmed != want {
			t.Errorf("unconfirmed: %v (%v), want %v", m.Unconfirmed, m.Err, want)
		}
	}
	unconfirmed(s.laptop, true)
	c, err := s.laptop.Issuance().Decide(s.signer, Decision{Grant: s.issuerGrant("J2"), Reinstate: true})
	s.must(err)
	unconfirmed(s.laptop, true)
	second := s.open("J2", c, append(s.laptop.Exchange().Common(), old.Data))
	signer, err := second.Signer(s.keys["J2"])
	s.must(err)
	_, err = second.Issuance().Renew(signer, s.ids["x1"])
	s.must(err)
	unconfirmed(second, true)
	_, err = second.Issuance().Decide(signer, Decision{Grant: Grant{Subject: s.ids["x1"], Role: RoleWorker, Name: "m-x1", Verbs: []string{}}})
	s.must(err)
	unconfirmed(second, false)
}

// A machine that the one who let it in has revoked does not come back by a paper that a thief made:
// nothing of it is signed anew without a person.
func TestRenewalRespectsRevocationOfAnotherPaper(t *testing.T) {
	s := newScene(t)
	vps := s.open("V", s.chains["V"], s.known)
	signer, err := vps.Signer(s.keys["V"])
	s.must(err)
	s.must(vps.Issuance().Revoke(signer, []peer.ID{s.ids["w3"]}, nil))
	s.shows(vps, "J1", "w3", Grant{Role: RoleWorker, Labels: map[string]string{"site": "a"}, Line: Line{s.rootID, newSerial()}, N: 3})
	n := s.takeOver([]string{"J1", "V"}, vps)
	own, err := n.Signer(s.keys["N"])
	s.must(err)
	if _, err := n.Issuance().Renew(own, s.ids["w3"]); !errors.Is(err, ErrNeedsPerson) {
		t.Errorf("renewed by itself: %v", err)
	}
	_, err = n.Issuance().Decide(s.signer, Decision{Grant: Grant{Subject: s.ids["w3"], Role: RoleWorker, Name: "m-w3", Verbs: []string{}}})
	s.must(err)
}

// What an issuer's key signs and what never counts, rights in a line that nobody began, pushes out
// nothing of a machine: neither the grant that counts, nor the honest one that tells other labels.
func TestWhatNeverCountsPushesNothingOut(t *testing.T) {
	s := newScene(t)
	paper := func(site string, n int64) Grant {
		return Grant{Role: RoleWorker, Labels: map[string]string{"site": site}, Line: Line{s.ids["J2"], serialOf("x2")}, N: n}
	}
	told := s.open("J2", s.chains["J2"], s.known) // a machine that is told of x2, which has its own copies
	x2 := s.open("x2", Chain{s.papers["J2"].Data, s.shows(told, "J2", "x2", paper("a", 1)).Data}, s.known)
	for f, most := range map[*Fleet]int{x2: maxOwnPapers, told: maxPerSigner} {
		s.shows(f, "J2", "x2", paper("b", 5000))
		for n := range most - 1 { // enough for the honest one
			s.shows(f, "J2", "x2", Grant{Name: fmt.Sprint("junk-", n), Verbs: []string{verbDo}, Line: Line{s.ids["x1"], newSerial()}, N: int64(2000 + n)})
		}
		n := s.takeOver([]string{"J2"}, f)
		own, err := n.Signer(s.keys["N"])
		s.must(err)
		if _, err := n.Issuance().Renew(own, s.ids["x2"]); !errors.Is(err, ErrNeedsPerson) {
			m, _ := n.Known(s.ids["x2"])
			t.Errorf("signed anew by itself, with the labels %v: %v", m.Grant.Labels, err)
		}
		s.must(LeaveFleet(filepath.Join(s.dir, "N")))
	}
	for n := range maxOwnPapers { // and for the other one
		s.shows(s.laptop, "J1", "w1", Grant{Name: fmt.Sprint("junk-", n), Verbs: []string{verbDo}, Line: Line{s.ids["x1"], newSerial()}, N: int64(2000 + n)})
	}
	if m, _ := s.laptop.Known(s.ids["w1"]); m.Err != nil {
		t.Errorf("what counted was pushed out: %v", m.Err)
	}
}
