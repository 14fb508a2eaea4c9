package trust_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/seed-b490fa12/swarm/host/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every way in which a chain can be wrong has its own reason, and one is right.
func TestVerify(t *testing.T) {
	o, other := newOwner(t), newOwner(t)
	narrow := newPerson(t)
	site := map[string]string{"site": "cabin"}
	narrowChain := o.issue(o.signer, trust.Grant{
		Subject: narrow.id, Role: trust.RoleIssuer, Name: "narrow", Verbs: []string{"stats.read", "deploy"}, On: "site=cabin",
		MayIssue: &trust.Bounds{
			Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer}, Verbs: []string{"stats.read"}, Names: "rig-*", Labels: site,
		},
	})
	paper := o.verify(narrowChain, narrow.id).Line.Serial
	p, q := newPerson(t), newPerson(t)
	line := trust.Line{By: narrow.id, Serial: strings.Repeat("A", 26)}
	accept := func(l trust.Line, by person) []byte { return mustBytes(t)(o.root.Fleet().Accept(l, by.key)) }
	viewer := trust.Grant{
		Fleet: o.root.Fleet(), By: narrow.id, Line: line, N: 1, Paper: paper, Subject: p.id, Role: trust.RoleViewer, Name: "rig-01", Verbs: []string{"stats.read"},
		On: "site=cabin", Labels: site, Issued: time.Now().UnixMilli(), Expires: time.Now().Add(time.Hour).UnixMilli(), Accept: accept(line, p),
	}
	// byNarrow is signed by the narrow issuer, whatever it may.
	byNarrow := func(change func(*trust.Grant)) trust.Chain {
		g := viewer
		change(&g)
		return trust.Chain{narrowChain[0], trust.SealGrant(t, &g, narrow.key)}
	}
	longest := strings.Repeat("n", 63)
	tests := []struct {
		name  string
		chain trust.Chain
		err   error
	}{
		{"right", byNarrow(func(*trust.Grant) {}), nil},
		{"by the root", o.issue(o.signer, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"}), nil},
		{"by an issuer for all", o.issue(o.second, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"}), nil},
		{"another role", byNarrow(func(g *trust.Grant) { g.Role = trust.RoleController }), trust.ErrIssuer},
		{"an issuer", byNarrow(func(g *trust.Grant) { g.Role, g.MayIssue = trust.RoleIssuer, &trust.Bounds{} }), trust.ErrDepth},
		{"a verb it may not give", byNarrow(func(g *trust.Grant) { g.Verbs = []string{"deploy"} }), trust.ErrIssuer},
		{"a pattern of verbs", byNarrow(func(g *trust.Grant) { g.Verbs = []string{"*.read"} }), trust.ErrIssuer},
		{"a further right", byNarrow(func(g *trust.Grant) { g.Also = []trust.Right{{Verbs: []string{"deploy"}, On: "site=cabin"}} }), trust.ErrIssuer},
		{"all machines", byNarrow(func(g *trust.Grant) { g.On = "" }), trust.ErrIssuer},
		{"another name", byNarrow(func(g *trust.Grant) { g.Name = "laptop" }), trust.ErrIssuer},
		{"without the label", byNarrow(func(g *trust.Grant) { g.Labels = nil }), trust.ErrIssuer},
		{"without having been asked", byNarrow(func(g *trust.Grant) { g.Accept = nil }), trust.ErrNotAsked},
		{"asked by another", byNarrow(func(g *trust.Grant) { g.Accept = accept(line, q) }), trust.ErrInvalid},
		{"asked for another line", byNarrow(func(g *trust.Grant) { g.Line.Serial = strings.Repeat("B", 26) }), trust.ErrInvalid},
		{"in the line of another", byNarrow(func(g *trust.Grant) { g.Line.By = o.issuer.id; g.Accept = accept(g.Line, p) }), trust.ErrNotAsked},
		{"under another line of its own", byNarrow(func(g *trust.Grant) { g.Paper = strings.Repeat("C", 26) }), trust.ErrSignerEnded},
		{"the root's number", byNarrow(func(g *trust.Grant) { g.N = trust.MaxDelegated }), trust.ErrInvalid},
		{"the highest number", byNarrow(func(g *trust.Grant) { g.N = trust.MaxDelegated - 1 }), nil},
		{"in spite of a revocation", byNarrow(func(g *trust.Grant) { g.Despite = make([]trust.ID, 1) }), trust.ErrDepth},
		{"of another peer", byNarrow(func(g *trust.Grant) { g.Subject, g.Accept = q.id, accept(line, q) }), trust.ErrOtherPeer},
		{"of another fleet", byNarrow(func(g *trust.Grant) { g.Fleet = other.root.Fleet() }), trust.ErrOtherFleet},
		{"of another fleet altogether", other.issue(other.second, trust.Grant{Subject: p.id, Role: trust.RoleViewer, Name: "v"}), trust.ErrOtherFleet},
		{"of one who says to be another", byNarrow(func(g *trust.Grant) { g.By = o.issuer.id }), trust.ErrInvalid},
		{"depth 3", append(trust.Chain{o.chain[0]}, byNarrow(func(*trust.Grant) {})...), trust.ErrDepth},
		{"nobody", trust.Chain{}, trust.ErrInvalid},
		{"without its signer's", byNarrow(func(*trust.Grant) {})[1:], trust.ErrDepth},
		{"by another issuer than shown", trust.Chain{o.chain[0], byNarrow(func(*trust.Grant) {})[1]}, trust.ErrDepth},
		{"the issuer's own twice", trust.Chain{narrowChain[0], narrowChain[0]}, trust.ErrOtherPeer},
		{"begins an hour ahead", byNarrow(func(g *trust.Grant) { g.Issued = time.Now().Add(time.Hour).UnixMilli() }), nil},
		{"ended long ago", byNarrow(func(g *trust.Grant) { g.Expires = 1 }), nil}, // for the clock to say
		{"a bad name", byNarrow(func(g *trust.Grant) { g.Name = "rig 01\n" }), trust.ErrInvalid},
		{"a long name", byNarrow(func(g *trust.Grant) { g.Name = "rig-" + longest[4:] }), nil},
		{"too long a name", byNarrow(func(g *trust.Grant) { g.Name = "rig-" + longest[3:] }), trust.ErrInvalid},
		{"half an origin", byNarrow(func(g *trust.Grant) { g.Origins = []trust.Origin{{By: o.issuer.id}} }), trust.ErrInvalid},
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

// A name is only a name: nothing that could be taken for anything else is one.
func TestNames(t *testing.T) {
	o := newOwner(t)
	p := newPerson(t)
	for name, ok := range map[string]bool{
		"rig-01": true, "1": true, "a.b_c/d": true, "R": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false,
		p.id.String(): false, "12D3Koo": false, "12D3KooWhoever": false, "QmPChd2hVbrJ6bfo3WBcTW4iZnpHm8TEzWkLHmLpXhF68A": false, "Qmx": false, "Qm": true,
		trust.NewSerial(): false, trust.NewSerial()[:25]: true, "-rf": false, "--as-root": false, ".": false, "/ip4/1.2.3.4/tcp/1": false, "_": false,
		"": false, "a b": false, "a\nb": false, "ä": false, "a\u202eb": false, "name=x": false, "a,b": false,
	} {
		_, err := o.signer.Issue(trust.Grant{Subject: p.id, Role: trust.RoleWorker, Name: name}, time.Now())
		if (err == nil) != ok || err != nil && !errors.Is(err, trust.ErrInvalid) {
			t.Errorf("%q: %v, want %v", name, err, ok)
		}
	}
}

// What a revocation, a lift or a policy can say wrongly.
func TestForms(t *testing.T) {
	o := newOwner(t)
	vps, vpsKey, vpsChain := o.limited("", "")
	p, q := newPerson(t), newPerson(t)
	fleet := o.root.Fleet()
	mine := o.invited(vps, vpsKey, p, trust.Grant{Role: trust.RoleWorker, Name: "rig"})
	other := o.issue(o.second, trust.Grant{Subject: q.id, Role: trust.RoleWorker, Name: "q"})
	line := o.verify(mine, p.id).Line
	base := trust.Revocation{Fleet: fleet, By: vpsKey.id, Peer: p.id, Paper: vpsChain[0], Evidence: [][]byte{mine[1]}, Nonce: trust.NewSerial(), Issued: 1}
	byIssuer := func(change func(*trust.Revocation)) []byte {
		r := base
		change(&r)
		return trust.SealRevocation(t, &r, vpsKey.key)
	}
	rootSays := func(l trust.Lift) []byte {
		l.Fleet = fleet
		return trust.SealLift(t, &l, o.signer)
	}
	policy := func(by *trust.Signer, p trust.Policy) []byte {
		p.Fleet = fleet
		return trust.SealPolicy(t, &p, by)
	}
	id := make([]trust.ID, 1)
	for _, tc := range []struct {
		name string
		data []byte
		err  error
	}{
		{"a revocation", byIssuer(func(*trust.Revocation) {}), nil},
		{"of a line", byIssuer(func(r *trust.Revocation) { r.Peer, r.Line = "", &line }), nil},
		{"of another's member, with the paper of that one", byIssuer(func(r *trust.Revocation) { r.Peer, r.Evidence = q.id, [][]byte(other) }), nil},
		{"of both", byIssuer(func(r *trust.Revocation) { r.Line = &line }), trust.ErrInvalid},
		{"of nothing", byIssuer(func(r *trust.Revocation) { r.Peer = "" }), trust.ErrInvalid},
		{"without evidence", byIssuer(func(r *trust.Revocation) { r.Evidence = nil }), trust.ErrInvalid},
		{"with evidence of another", byIssuer(func(r *trust.Revocation) { r.Peer = q.id }), trust.ErrInvalid},
		{"with an issuer's grant as evidence", byIssuer(func(r *trust.Revocation) { r.Peer, r.Evidence = vpsKey.id, [][]byte{vpsChain[0]} }), trust.ErrInvalid},
		{"with too much evidence", byIssuer(func(r *trust.Revocation) { r.Evidence = append([][]byte{vpsChain[0]}, r.Evidence...) }), trust.ErrInvalid},
		{"without the paper of the evidence's signer", byIssuer(func(r *trust.Revocation) { r.Peer, r.Evidence = q.id, [][]byte{other[1]} }), trust.ErrInvalid},
		{"without a paper", byIssuer(func(r *trust.Revocation) { r.Paper = nil }), trust.ErrInvalid},
		{"with another's paper", byIssuer(func(r *trust.Revocation) { r.Paper = o.chain[0] }), trust.ErrIssuer},
		{"with a member's paper", byIssuer(func(r *trust.Revocation) { r.Paper = mine[1] }), trust.ErrIssuer},
		{"in another's name", byIssuer(func(r *trust.Revocation) { r.By = o.issuer.id }), trust.ErrInvalid},
		{"of another fleet", byIssuer(func(r *trust.Revocation) { r.Fleet = newOwner(t).root.Fleet() }), trust.ErrOtherFleet},
		{"without a nonce", byIssuer(func(r *trust.Revocation) { r.Nonce = "" }), trust.ErrInvalid},
		{"a lift", rootSays(trust.Lift{IDs: id, Issued: 1}), nil},
		{"a closing", rootSays(trust.Lift{Signer: p.id, Standing: id, Issued: 1}), nil},
		{"a waiver", rootSays(trust.Lift{Machine: p.id, IDs: id, Issued: 1}), nil},
		{"a lift of nothing", rootSays(trust.Lift{Issued: 1}), trust.ErrInvalid},
		{"a lift of two kinds", rootSays(trust.Lift{Signer: p.id, IDs: id, Issued: 1}), trust.ErrInvalid},
		{"the longest lift", rootSays(trust.Lift{IDs: make([]trust.ID, 3000), Issued: 1}), nil},
		{"too long a lift", rootSays(trust.Lift{IDs: make([]trust.ID, 3001), Issued: 1}), trust.ErrInvalid},
		{"a lift by an issuer", trust.SealLift(t, &trust.Lift{Fleet: fleet, IDs: id, Issued: 1}, o.second), trust.ErrIssuer},
		{"a policy", policy(o.signer, trust.Policy{MinProtocol: "2.0.0", Issued: 1}), nil},
		{"a policy of nothing", policy(o.signer, trust.Policy{Issued: 1}), trust.ErrInvalid},
		{"a policy by an issuer", policy(o.second, trust.Policy{MinProtocol: "2.0.0", Issued: 1}), trust.ErrIssuer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := fleet.Open(tc.data); !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
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
	f, _ := o.rig(t.TempDir(), nil, nil)
	o.learn(f, chain...)
	o.revoke(f, o.second, p.id)
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
	open := func(b []byte) bool { _, err := o.root.Fleet().Open(b); return err == nil }
	flip("grant", chain[1], open)
	flip("issuer's grant", chain[0], open)
	flip("revocation", f.Revocations()[0].Data, open)
	flip("lift", trust.SealLift(t, &trust.Lift{Fleet: o.root.Fleet(), IDs: make([]trust.ID, 1), Issued: 1}, o.signer), open)
	flip("chain as text", chain.JSON(), func(b []byte) bool {
		c, err := trust.ParseChain(b)
		if err == nil {
			_, err = o.root.Fleet().Verify(c, p.id)
		}
		return err == nil
	})
}

func TestChainBounds(t *testing.T) {
	if _, err := trust.ParseChain([]byte(`["AA==","AA==","AA==","AA==","AA=="]`)); !errors.Is(err, trust.ErrDepth) {
		t.Errorf("five grants: %v", err)
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
		{"in spite of", 64, func(g *trust.Grant, n int) { g.Despite = make([]trust.ID, n) }},
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
			MayIssue: &trust.Bounds{ForAll: on == "", Roles: []trust.Role{trust.RoleController}, Verbs: own},
		}, time.Now())
		if err != nil {
			return
		}
		s, err := trust.NewIssuer(o.root.Fleet(), issuer.key, chain)
		if err != nil {
			rt.Fatal(err)
		}
		line := trust.Line{By: issuer.id, Serial: trust.NewSerial()}
		given, err := s.Issue(trust.Grant{
			Subject: member.id, Role: trust.RoleController, Name: "m", Verbs: append([]string{}, pick("verbs")...),
			On: rapid.SampledFrom(sites).Draw(rt, "on"), Line: line, Accept: mustBytes(t)(o.root.Fleet().Accept(line, member.key)),
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
		p := newPerson(t)
		g := o.verify(o.issue(o.second, trust.Grant{Subject: p.id, Role: role, Name: "x"}), p.id)
		if got := g.ExpiresAt().Sub(now); got.Round(day) != want {
			t.Errorf("%s lasts %v", role, got)
		}
		if at := g.RenewAt().Sub(now); at < want/2 || at > want*7/10 {
			t.Errorf("%s is renewed after %v", role, at)
		}
		for left, warn := range map[time.Duration]bool{31 * day: false, 29 * day: true, time.Hour: true, -time.Hour: true} {
			if got := g.Warning(g.ExpiresAt().Add(-left)); (got != "") != warn && want > 90*day || warn && got != "" && !strings.Contains(got, g.Name) {
				t.Errorf("%s with %v left: %q", role, left, got)
			}
		}
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

// verify returns the grant of a chain that is right.
func (o *owner) verify(c trust.Chain, p peer.ID) *trust.Grant {
	o.t.Helper()
	cred, err := o.root.Fleet().Verify(c, p)
	must(o.t, err)
	return cred.Grant
}
