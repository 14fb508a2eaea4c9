package trust

import (
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	largeMembers     = 10_000
	largeRevocations = 7_500
)

// large is the controller of a fleet of 10,000 members, with the revocations of five years.
type large struct {
	*Fleet
	c       *cast
	members []peer.ID
}

func newLarge(b *testing.B) *large {
	b.Helper()
	c := newCast(b)
	cfg := FleetConfig{Dir: filepath.Join(memoryDir(b), "large"), Self: c.ids["J1"], Clock: fixed(begin().Add(day1)), Built: built()}
	f, err := CreateFleet(cfg, Membership{c.root.Fleet(), theFleet, c.chains["J1"]}, nil)
	if err != nil {
		b.Fatal(err)
	}
	l := &large{Fleet: f, c: c}
	news := make([]*Statement, 0, largeMembers+largeRevocations)
	for i := range largeMembers {
		st, err := f.memory.id.Open(l.grant(b, i, 1))
		if err != nil {
			b.Fatal(err)
		}
		news = append(news, st)
		l.members = append(l.members, st.Grant.Subject)
	}
	for i := range largeRevocations {
		by := "J1"
		if i >= maxOwnRevoked {
			by = "J2" // one signer revokes no more than that in lines of its own
		}
		news = append(news, l.revocation(b, by, news[i]))
	}
	if _, err := f.memory.take(news, true); err != nil {
		b.Fatal(err)
	}
	if err := f.memory.saveOwed(); err != nil {
		b.Fatal(err)
	}
	return l
}

// grant is of a member, by the controller; every third commands.
func (l *large) grant(b *testing.B, i int, n int64) []byte {
	b.Helper()
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seedOf(fmt.Sprint("member ", i))))
	if err != nil {
		b.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	g := Grant{Subject: p, Role: RoleWorker, Name: fmt.Sprint("rig-", i), N: n, Labels: map[string]string{"site": "a"},
		Line: Line{l.c.ids["J1"], serialOf(fmt.Sprint(i))}, Expires: begin().Add(year).UnixMilli()}
	if i%3 == 0 {
		g.Role, g.Verbs = RoleController, plainVerbs()
	}
	data, err := l.c.seal("J1", g)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// revocation is of an earlier line of a member: most of the fleet goes on.
func (l *large) revocation(b *testing.B, by string, of *Statement) *Statement {
	b.Helper()
	g := *of.Grant
	g.Line.Serial = serialOf("earlier " + g.Line.Serial)
	old, err := l.c.seal("J1", g)
	if err != nil {
		b.Fatal(err)
	}
	evidence := [][]byte{l.c.papers["J1"].Data, old}
	if by == "J1" {
		evidence = evidence[1:]
	}
	st, err := sign(l.ID(), revocationKind(), &Revocation{Fleet: l.ID(), By: l.c.ids[by], Line: &g.Line, Paper: l.c.papers[by].Data,
		Evidence: evidence, Nonce: newSerial(), Issued: 1}, l.c.keys[by])
	if err != nil {
		b.Fatal(err)
	}
	return st
}

// BenchmarkLarge is what a controller of 10,000 members does with 7,500 revocations.
func BenchmarkLarge(b *testing.B) {
	l := newLarge(b)
	fresh := make([][]byte, 200)
	for i := range fresh {
		fresh[i] = l.grant(b, i*3, 2)
	}
	b.Run("May", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := l.May(l.members[i%(largeMembers/3)*3], "deploy"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("May not", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if l.May(l.members[i%(largeMembers/3)*3+1], "deploy") == nil {
				b.Fatal("a worker commands")
			}
		}
	})
	b.Run("Learn known", func(b *testing.B) {
		b.ReportAllocs()
		st := l.Revocations()[0].Data
		for b.Loop() {
			if _, err := l.Learn(st); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Learn new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := l.Learn(fresh[i%len(fresh)]); err != nil {
				b.Fatal(err)
			}
			l.Forget(l.members[i%len(fresh)*3])
		}
	})
	b.Run("Digest", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.Exchange().Digest(l.members[i%largeMembers])
		}
	})
	b.Run("Sums", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			l.Exchange().Sums(l.members[i%largeMembers])
		}
	})
	b.Run("Members", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Members()
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := OpenFleet(FleetConfig{Dir: l.memory.cfg.Dir, Self: l.memory.cfg.Self, Clock: fixed(begin().Add(day1)), Built: built()}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkOpen verifies one statement of each kind, as from the wire.
func BenchmarkOpen(b *testing.B) {
	c := newCast(b)
	for name, data := range map[string][]byte{"grant": c.first[0].Data, "revocation": (&large{Fleet: &Fleet{memory: &memory{id: c.root.Fleet()}}, c: c}).revocation(b, "J1", c.first[0].Statement).Data} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.root.Fleet().Open(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
