package signing

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// What a thief has revoked by the thousand is one question, and each member that is known is one of
// its own, however often it was revoked.
func TestDoubts(t *testing.T) {
	day := func(n int) int64 { return time.Date(2026, 11, n, 12, 0, 0, 0, time.UTC).UnixMilli() }
	var all []*trust.Statement
	add := func(p peer.ID, on int64) {
		all = append(all, &trust.Statement{Revocation: &trust.Revocation{Peer: p, Issued: on}})
	}
	add("rig-07", day(3))
	for i := range 4096 {
		add(peer.ID(fmt.Sprint("stranger", i)), day(5+i%3))
	}
	add("rig-01", day(4))
	add("rig-07", day(9))
	got := doubts(all, func(r *trust.Revocation) string {
		if strings.HasPrefix(string(r.Peer), "rig") {
			return string(r.Peer)
		}
		return ""
	})
	var questions []string
	ids := 0
	for _, d := range got {
		questions = append(questions, d.Question("laptop2"))
		ids += len(d.IDs)
	}
	want := []string{
		"laptop2 revoked rig-01, dated 2026-11-04. Does that stand?",
		"laptop2 revoked rig-07, dated 2026-11-03 to 2026-11-09. Does that stand?",
		"laptop2 revoked 4096 that are not known here, dated 2026-11-05 to 2026-11-07. Do all of these stand?",
	}
	if !slices.Equal(questions, want) || ids != len(all) {
		t.Errorf("%d IDs, asked %q", ids, questions)
	}
	if got := doubts(all[1:2], func(*trust.Revocation) string { return "" })[0].Question("laptop2"); got !=
		"laptop2 revoked one that is not known here, dated 2026-11-05. Does that stand?" {
		t.Errorf("asked %q", got)
	}
}
