package signing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// Revoked is what a word of the command line means: a peer, or a line.
type Revoked struct {
	Peer peer.ID
	Name string
	Line *trust.Line
}

// FindRevoked finds what is meant. A whole peer ID always means that peer, also one that nobody
// here has met; a serial that nobody knows is an error.
func FindRevoked(adm *admin.Admin, word string) (r Revoked, err error) {
	if id, bad := peer.Decode(word); bad == nil {
		r.Peer, r.Name = id, word
		if m, ok := adm.Fleet.Known(id); ok {
			r.Name = m.Grant.Name
		}
		return r, nil
	}
	if trust.LooksLikeSerial(word) {
		line, m, err := adm.FindSerial(word)
		if err != nil {
			return r, err
		}
		return Revoked{Peer: m.Peer, Name: m.Grant.Name, Line: &line}, nil
	}
	m, err := adm.Find(word)
	if err != nil {
		return r, err
	}
	return Revoked{Peer: m.Peer, Name: m.Grant.Name}, nil
}

// Doubt is what an ended issuer has revoked and a person decides on with one answer.
type Doubt struct {
	Name        string // of a member, or of its grant; empty for all that nobody here knows
	IDs         []trust.ID
	first, last int64 // Unix ms, of the dates that the issuer gave
}

// Doubts returns what a signer has revoked, by whom or what it names: each member and grant that is
// known here, and then in one the others, of which a thief can make thousands.
func Doubts(adm *admin.Admin, signer peer.ID) []Doubt {
	var all []*trust.Statement
	for _, st := range adm.Fleet.Revocations() {
		if st.Signer == signer {
			all = append(all, st)
		}
	}
	return doubts(all, func(r *trust.Revocation) string { return knownAs(adm, r) })
}

func doubts(all []*trust.Statement, name func(*trust.Revocation) string) (out []Doubt) {
	at := make(map[string]*Doubt)
	for _, st := range all {
		n, on := name(st.Revocation), st.Revocation.Issued
		d := at[n]
		if d == nil {
			d = &Doubt{Name: n, first: on, last: on}
			at[n] = d
		}
		d.IDs = append(d.IDs, st.ID)
		d.first, d.last = min(d.first, on), max(d.last, on)
	}
	for _, n := range slices.Sorted(maps.Keys(at)) {
		if n != "" {
			out = append(out, *at[n])
		}
	}
	if d := at[""]; d != nil {
		out = append(out, *d)
	}
	return out
}

// Question asks whether it stands; who is the issuer.
func (d Doubt) Question(who string) string {
	dated := "dated " + output.Day(time.UnixMilli(d.first))
	if to := output.Day(time.UnixMilli(d.last)); !strings.HasSuffix(dated, to) {
		dated += " to " + to
	}
	switch {
	case d.Name != "":
		return fmt.Sprintf("%s revoked %s, %s. Does that stand?", who, d.Name, dated)
	case len(d.IDs) == 1:
		return fmt.Sprintf("%s revoked one that is not known here, %s. Does that stand?", who, dated)
	}
	return fmt.Sprintf("%s revoked %d that are not known here, %s. Do all of these stand?", who, len(d.IDs), dated)
}

// knownAs says who or what a revocation names, if that is known here.
func knownAs(adm *admin.Admin, r *trust.Revocation) string {
	if r.Line != nil {
		if _, m, err := adm.FindSerial(r.Line.Serial); err == nil {
			return fmt.Sprintf("the grant %s of %s", r.Line.Serial, m.Grant.Name)
		}
		return ""
	}
	if m, ok := adm.Fleet.Known(r.Peer); ok {
		return fmt.Sprintf("%s (%s)", m.Grant.Name, r.Peer)
	}
	return ""
}
