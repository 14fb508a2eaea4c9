package trust_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/seed-b490fa12/swarm/host/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every way in which a credential can be wrong has its own reason, and one is right.
func TestVerify(t *testing.T) {
	o, other := newOwner(t), newOwner(t)
	narrow := newPerson(t)
	narrowChain := o.issue(o.signer, trust.Grant{
		Subject: narrow.id, Role: trust.RoleIssuer, Name: "narrow", Verbs: []string{"stats.read", "deploy"}, On: "site=cabin",
		MayIssue: &trust.Bounds{
			Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer}, Verbs: []string{"stats.read"}, Names: "rig-*", Labels: map[string]string{"site": "cabin"},
		},
	})
	p, q := newPerson(t), newPerson(t)
	viewer := trust.Grant{
		Fleet: o.root.Fleet(), Subject: p.id, Role: trust.RoleViewer, Name: "rig-01", Verbs: []string{"stats.read"}, On: "site=cabin",
		Labels: map[string]string{"site": "cabin"}, Issued: time.Now().UnixMilli(), NotBefore: time.Now().Add(-time.Minute).UnixMilli(), Expires: time.Now().Add(time.Hour).UnixMilli(),
		Serial: strings.Repeat("A", 26),
	}
	// byNarrow is signed by the narrow issuer, whatever it may.
	byNarrow := func(change func(*trust.Grant)) trust.Chain {
		g := viewer
		change(&g)
		return trust.Chain{narrowChain[0], trust.SealGrant(t, &g, narrow.key)}
	}
	tests := []struct {
		name  string
		chain trust.Chain
		err   error
	}{
		{"right", byNarrow(func(*trust.Grant) {}), nil},
		{"by the root", o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"}), nil},
		{"another role", byNarrow(func(g *trust.Grant) { g.Role = trust.RoleController }), trust.ErrIssuer},
		{"an issuer", byNarrow(func(g *trust.Grant) { g.Role = trust.RoleIssuer; g.MayIssue = &trust.Bounds{} }), trust.ErrIssuer},
		{"a verb it may not give", byNarrow(func(g *trust.Grant) { g.Verbs = []string{"deploy"} }), trust.ErrIssuer},
		{"a pattern of verbs", byNarrow(func(g *trust.Grant) { g.Verbs = []string{"*.read"} }), trust.ErrIssuer},
		{"a further right", byNarrow(func(g *trust.Grant) { g.Also = []trust.Right{{Verbs: []string{"deploy"}, On: "site=cabin"}} }), trust.ErrIssuer},
		{"all machines", byNarrow(func(g *trust.Grant) { g.On = "" }), trust.ErrIssuer},
		{"another name", byNarrow(func(g *trust.Grant) { g.Name = "laptop" }), trust.ErrIssuer},
		{"without the label", byNarrow(func(g *trust.Grant) { g.Labels = nil }), trust.ErrIssuer},
		{"signed before its time", byNarrow(func(g *trust.Grant) { g.Issued = 1 }), trust.ErrIssuer},
		{"more than a year beyond", byNarrow(func(g *trust.Grant) { g.Expires = time.Now().AddDate(3, 0, 2).UnixMilli() }), trust.ErrIssuer},
		{"makes an issuer", byNarrow(func(g *trust.Grant) { g.MayIssue = &trust.Bounds{Roles: []trust.Role{trust.RoleWorker}} }), trust.ErrDepth},
		{"of another peer", byNarrow(func(g *trust.Grant) { g.Subject = q.id }), trust.ErrOtherPeer},
		{"of another fleet", byNarrow(func(g *trust.Grant) { g.Fleet = other.root.Fleet() }), trust.ErrOtherFleet},
		{"of another fleet altogether", other.issue(other.second, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"}), trust.ErrOtherFleet},
		{"depth 3", append(trust.Chain{o.chain[0]}, byNarrow(func(*trust.Grant) {})...), trust.ErrDepth},
		{"nobody", trust.Chain{}, trust.ErrInvalid},
		{"by a stranger", trust.Chain{trust.SealGrant(t, &viewer, q.key)}, trust.ErrDepth},
		{"by another issuer than shown", trust.Chain{o.chain[0], byNarrow(func(*trust.Grant) {})[1]}, trust.ErrInvalid},
		{"the issuer's own twice", trust.Chain{narrowChain[0], narrowChain[0]}, trust.ErrInvalid},
		{"end before beginning", byNarrow(func(g *trust.Grant) { g.Expires = g.NotBefore }), trust.ErrInvalid},
		{"begins an hour before", byNarrow(func(g *trust.Grant) { g.NotBefore = g.Issued - time.Hour.Milliseconds() }), nil},
		{"begins earlier", byNarrow(func(g *trust.Grant) { g.NotBefore = g.Issued - time.Hour.Milliseconds() - 1 }), trust.ErrIssuer},
		{"a bad name", byNarrow(func(g *trust.Grant) { g.Name = "rig 01\n" }), trust.ErrInvalid},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := o.root.Fleet().Verify(tc.chain, p.id)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
		})
	}
}

// One flipped bit anywhere is refused.
func TestBitFlips(t *testing.T) {
	o := newOwner(t)
	p := newPerson(t)
	chain := o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c", Labels: map[string]string{"a": "b"}})
	known := trust.NewRecords(o.root.Fleet())
	rec, err := o.second.Revise(known, trust.Change{RevokePeers: []peer.ID{newPerson(t).id}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	flip := func(name string, data []byte, accepted func([]byte) bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !accepted(data) {
				t.Fatal("the right one is refused")
			}
			for i := range data {
				for bit := range 8 {
					bad := bytes.Clone(data)
					bad[i] ^= 1 << bit
					if accepted(bad) {
						t.Errorf("bit %d of byte %d flipped, and accepted", bit, i)
					}
				}
			}
		})
	}
	flip("grant", chain[1], func(b []byte) bool {
		_, err := o.root.Fleet().Verify(trust.Chain{chain[0], b}, p.id)
		return err == nil
	})
	flip("issuer's grant", chain[0], func(b []byte) bool {
		_, err := o.root.Fleet().Verify(trust.Chain{b, chain[1]}, p.id)
		return err == nil
	})
	flip("chain as text", chain.JSON(), func(b []byte) bool {
		c, err := trust.ParseChain(b)
		if err == nil {
			_, err = o.root.Fleet().Verify(c, p.id)
		}
		return err == nil
	})
	flip("record", rec, func(b []byte) bool {
		r := trust.NewRecords(o.root.Fleet())
		return r.Merge(b) == nil && len(r.Digests()) == 1
	})
	text := ticketText(t, o)
	flip("ticket", []byte(text), func(b []byte) bool {
		_, err := trust.ParseTicket(string(b))
		return err == nil
	})
}

func TestChainBounds(t *testing.T) {
	if _, err := trust.ParseChain([]byte(`["AA==","AA==","AA=="]`)); !errors.Is(err, trust.ErrDepth) {
		t.Errorf("three grants: %v", err)
	}
	for _, text := range []string{"", "null", "{}", "[]", `["!"]`, `["AA==",]`, "[" + strings.Repeat(" ", 17<<10) + "]"} {
		if _, err := trust.ParseChain([]byte(text)); !errors.Is(err, trust.ErrInvalid) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// The bounds of a grant hold at n and not at n+1.
func TestGrantBounds(t *testing.T) {
	o := newOwner(t)
	p := newPerson(t)
	many := func(n int) (verbs []string, labels map[string]string, also []trust.Right) {
		labels = make(map[string]string)
		for i := range n {
			verbs = append(verbs, fmt.Sprintf("v%d", i))
			labels[fmt.Sprintf("k%d", i)] = "v"
			also = append(also, trust.Right{Verbs: []string{"deploy"}})
		}
		return verbs, labels, also
	}
	for _, tc := range []struct {
		name string
		most int
		set  func(g *trust.Grant, n int)
	}{
		{"verbs", 64, func(g *trust.Grant, n int) { g.Verbs, _, _ = many(n) }},
		{"labels", 32, func(g *trust.Grant, n int) { _, g.Labels, _ = many(n) }},
		{"further rights", 8, func(g *trust.Grant, n int) { _, _, g.Also = many(n) }},
		{"name", 63, func(g *trust.Grant, n int) { g.Name = strings.Repeat("n", n) }},
		{"label's value", 63, func(g *trust.Grant, n int) { g.Labels = map[string]string{"k": strings.Repeat("v", n)} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for n, ok := range map[int]bool{tc.most: true, tc.most + 1: false} {
				g := trust.Grant{Subject: p.id, Role: trust.RoleController, Name: "c"}
				tc.set(&g, n)
				if _, err := o.signer.Issue(g, time.Now()); (err == nil) != ok {
					t.Errorf("%d: %v", n, err)
				}
			}
		})
	}
}

// An issuer never gives more than it has, whatever the bounds.
func TestDelegationNeverGrows(t *testing.T) {
	o := newOwner(t)
	verbs := []string{"stats.read", "logs.read", "deploy", "miner.control", "run", "*", "*.read", "admit"}
	concrete := []string{"stats.read", "logs.read", "deploy", "miner.control", "run", "admit", "grant"}
	sites := []string{"", "site=a", "site=b", "site=a,gpu"}
	machines := []map[string]string{nil, {"site": "a"}, {"site": "b"}, {"site": "a", "gpu": "x"}}
	rapid.Check(t, func(rt *rapid.T) {
		pick := func(label string) []string {
			return rapid.SliceOfDistinct(rapid.SampledFrom(verbs), rapid.ID[string]).Draw(rt, label)
		}
		issuer, member := newPerson(t), newPerson(t)
		own := pick("issuer's verbs")
		on := rapid.SampledFrom(sites).Draw(rt, "issuer on")
		chain, err := o.signer.Issue(trust.Grant{
			Subject: issuer.id, Role: trust.RoleIssuer, Name: "i", Verbs: append([]string{}, own...), On: on,
			MayIssue: &trust.Bounds{Roles: []trust.Role{trust.RoleController}, Verbs: own},
		}, time.Now())
		if err != nil {
			return
		}
		s, err := trust.NewIssuer(o.root.Fleet(), issuer.key, chain)
		if err != nil {
			rt.Fatal(err)
		}
		given, err := s.Issue(trust.Grant{
			Subject: member.id, Role: trust.RoleController, Name: "m", Verbs: append([]string{}, pick("verbs")...),
			On:   rapid.SampledFrom(sites).Draw(rt, "on"),
			Also: []trust.Right{{Verbs: append([]string{}, pick("also")...), On: rapid.SampledFrom(sites).Draw(rt, "also on")}},
		}, time.Now())
		if err != nil {
			return
		}
		cred, err := o.root.Fleet().Verify(given, member.id)
		if err != nil {
			rt.Fatal(err)
		}
		for _, v := range concrete {
			for _, labels := range machines {
				if cred.Grant.Allows(v, labels, time.Now()) == nil && cred.Issuer.Allows(v, labels, time.Now()) != nil {
					rt.Fatalf("%s on %v: the member may, its issuer may not: %+v by %+v", v, labels, cred.Grant, cred.Issuer)
				}
			}
		}
	})
}

func TestLifetimes(t *testing.T) {
	o := newOwner(t)
	now := time.Now()
	day := 24 * time.Hour
	for role, want := range map[trust.Role]time.Duration{
		trust.RoleWorker: 365 * day, trust.RoleRelay: 365 * day, trust.RoleController: 90 * day, trust.RoleViewer: 90 * day,
	} {
		c := o.issue(o.second, trust.Grant{Subject: o.issuer.id, Role: role, Name: "x"})
		cred, err := o.root.Fleet().Verify(c, o.issuer.id)
		if err != nil && role != trust.RoleRelay {
			t.Fatal(err)
		}
		g := cred.Grant
		if got := g.ExpiresAt().Sub(now); got.Round(day) != want {
			t.Errorf("%s lasts %v", role, got)
		}
		if at := g.RenewAt().Sub(now); at < want/2 || at > want*7/10 {
			t.Errorf("%s is renewed after %v", role, at)
		}
		for left, warn := range map[time.Duration]bool{31 * day: false, 29 * day: true, time.Hour: true, -time.Hour: true} {
			if got := g.Warning(g.ExpiresAt().Add(-left)); (got != "") != warn && want > 90*day || warn && got != "" && !strings.Contains(got, "swarm renew") {
				t.Errorf("%s with %v left: %q", role, left, got)
			}
		}
		if err := cred.ValidAt(g.ExpiresAt(), nil); !errors.Is(err, trust.ErrExpired) {
			t.Errorf("at its end: %v", err)
		}
		if err := cred.ValidAt(g.ExpiresAt().Add(-time.Millisecond), nil); err != nil {
			t.Errorf("before its end: %v", err)
		}
	}
}

func ticketText(t testing.TB, o *owner) string {
	t.Helper()
	k, err := trust.NewTicket(trust.Ticket{
		Fleet: o.root.Fleet(), FleetName: "home", Redeemer: o.issuer.id, Role: trust.RoleWorker, Name: "rig-01",
		Labels: map[string]string{"gpu": "3080"}, Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Merging is the same in any order and however often, and never goes back.
func TestRecordsMerge(t *testing.T) {
	o := newOwner(t)
	at := time.Now()
	var all [][]byte
	known := trust.NewRecords(o.root.Fleet())
	for i := range 6 {
		s := o.signer
		if i%2 == 0 {
			s = o.second
		}
		rec, err := s.Revise(known, trust.Change{RevokePeers: []peer.ID{newPerson(t).id}}, at.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := known.Merge(rec); err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
	want, err := json.Marshal(known.Digests())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := trust.NewRecords(o.root.Fleet())
		order := rapid.Permutation(append(all, all...)).Draw(rt, "order")
		cut := rapid.IntRange(0, len(order)).Draw(rt, "cut")
		for _, part := range [][][]byte{order[:cut], order[cut:]} {
			if err := r.Merge(part...); err != nil && !errors.Is(err, trust.ErrOlder) {
				rt.Fatal(err)
			}
		}
		if got, _ := json.Marshal(r.Digests()); string(got) != string(want) {
			rt.Fatalf("got %s, want %s", got, want)
		}
		if len(r.Revoked().Peers()) != 6 {
			rt.Fatalf("%d are revoked", len(r.Revoked().Peers()))
		}
	})
	if missing := known.Missing(trust.NewRecords(o.root.Fleet()).Digests()); len(missing) != 2 || known.Behind(known.Digests()) || len(known.Missing(known.Digests())) != 0 {
		t.Errorf("%d are missing", len(missing))
	}
}

// An issuer can only revoke, and only one whom the root has let.
func TestRecordsOfIssuers(t *testing.T) {
	o := newOwner(t)
	weak := newPerson(t)
	chain := o.issue(o.signer, trust.Grant{Subject: weak.id, Role: trust.RoleIssuer, Name: "weak", Verbs: []string{}, MayIssue: &trust.Bounds{}})
	s, err := trust.NewIssuer(o.root.Fleet(), weak.key, chain)
	if err != nil {
		t.Fatal(err)
	}
	known := trust.NewRecords(o.root.Fleet())
	for name, try := range map[string]func() ([]byte, error){
		"without the verb": func() ([]byte, error) {
			return s.Revise(known, trust.Change{RevokePeers: []peer.ID{o.issuer.id}}, time.Now())
		},
		"names issuers": func() ([]byte, error) {
			return o.second.Revise(known, trust.Change{Issuers: []peer.ID{weak.id}}, time.Now())
		},
		"lifts": func() ([]byte, error) {
			return o.second.Revise(known, trust.Change{LiftPeers: []peer.ID{weak.id}}, time.Now())
		},
		"sets a version": func() ([]byte, error) { return o.second.Revise(known, trust.Change{MinProtocol: "2.0.0"}, time.Now()) },
		"moves the floor": func() ([]byte, error) {
			return o.second.Revise(known, trust.Change{TimeFloor: time.Now()}, time.Now())
		},
		"too many": func() ([]byte, error) {
			many := make([]peer.ID, 1025)
			for i := range many {
				many[i] = peer.ID(fmt.Sprintf("\x00\x24\x08\x01\x12\x20%032d", i))
			}
			return o.signer.Revise(known, trust.Change{RevokePeers: many}, time.Now())
		},
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	// What an issuer has revoked the root can lift; what the root says stands.
	must(t, known.Merge(mustBytes(t)(o.second.Revise(known, trust.Change{RevokePeers: []peer.ID{weak.id}}, time.Now()))))
	if !known.Revoked().Peer(weak.id) {
		t.Fatal("not revoked")
	}
	must(t, known.Merge(mustBytes(t)(o.signer.Revise(known, trust.Change{LiftPeers: []peer.ID{weak.id}}, time.Now()))))
	if known.Revoked().Peer(weak.id) {
		t.Error("not lifted")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBytes(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		must(t, err)
		return b
	}
}
