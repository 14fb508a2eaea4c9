// Package twins notices when two machines run with one identity: a card was copied, or a backup was
// started beside its original. See section 8 of docs/protocol.md.
package twins

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/greet"
)

const (
	// twinFor is how long two machines count as having one identity after both were last seen
	// alive.
	twinFor = 3 * time.Minute
	// maxTwins bounds the identities of which that is known at a time; the one seen longest ago
	// gives way.
	maxTwins   = 256
	maxAsked   = 64   // identities whose runs are asked at a time
	maxLineage = 4096 // identities whose last runs are remembered
)

// Twin says that two machines run with one identity.
type Twin struct {
	Peer  peer.ID   // the identity
	Since time.Time // when it was noticed
	// Addrs is where the two were seen, as far as is known.
	Addrs []string
	// By is the member that said so; empty where this node has seen it itself.
	By peer.ID

	boots []string
	seen  time.Time
	next  string // what Config.Hint says about it
}

// wayOut is what the owner does about it, unless the program has a hint.
const wayOut = "; on one of them: leave the fleet, delete identity.pem, join again with a new ticket"

// Words say in one line what is the case and what to do about it.
func (t Twin) Words() string {
	where := ""
	if len(t.Addrs) > 0 {
		where = " (" + strings.Join(t.Addrs, ", ") + ")"
	}
	return "two machines run with this identity" + where + cmp.Or(t.next, wayOut)
}

// table is what a node knows of identities that two machines run with. Nobody's word that a machine
// is gone ends it, only that one of the two has not been seen for a while.
type table struct {
	mu    sync.Mutex // guards what follows
	known map[peer.ID]Twin
	runs  map[runKey]lineage
	asked map[runKey]bool // both of whose runs are being asked now
}

// begin reports whether the two runs of an identity may be asked: one question at a time, and no
// more than so many in all.
func (t *table) begin(k runKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked[k] || len(t.asked) >= maxAsked {
		return false
	}
	if t.asked == nil {
		t.asked = make(map[runKey]bool)
	}
	t.asked[k] = true
	return true
}

func (t *table) end(k runKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.asked, k)
}

// runKey is an identity in one role: a machine may be a worker and a controller with the same key.
type runKey struct {
	peer peer.ID
	kind string
}

// lineage are the last two runs of an identity: boot is the later one.
type lineage struct {
	before, boot string
	at           time.Time // when boot was first seen
}

// mark notes that both runs of an identity were alive just now, and reports whether that is news.
func (t *table) mark(found Twin, now time.Time) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	old, known := t.known[found.Peer]
	if known {
		found.Since = old.Since
		if old.By == "" {
			found.By = "" // our own sighting outweighs a report
		}
		if len(found.Addrs) < len(old.Addrs) {
			found.Addrs = old.Addrs
		}
	} else {
		found.Since = now
		t.makeRoom()
	}
	found.seen = now
	if t.known == nil {
		t.known = make(map[peer.ID]Twin)
	}
	t.known[found.Peer] = found
	return !known
}

// makeRoom drops the one seen longest ago where there are too many. The caller holds mu.
func (t *table) makeRoom() {
	if len(t.known) < maxTwins {
		return
	}
	oldest := slices.MinFunc(t.list(), func(a, b Twin) int { return a.seen.Compare(b.seen) })
	delete(t.known, oldest.Peer)
}

// expire forgets those of whom one has not been seen for a while. The caller holds mu.
func (t *table) expire(now time.Time) {
	for p, k := range t.known {
		if now.Sub(k.seen) > twinFor {
			delete(t.known, p)
		}
	}
}

// list returns them in the order of their IDs. The caller holds mu.
func (t *table) list() []Twin {
	out := make([]Twin, 0, len(t.known))
	for _, k := range t.known {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Twin) int { return cmp.Compare(a.Peer, b.Peer) })
	return out
}

// all returns the identities that two machines run with now.
func (t *table) all(now time.Time) []Twin {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	return t.list()
}

// of returns what is known of one identity.
func (t *table) of(p peer.ID, now time.Time) (Twin, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	k, ok := t.known[p]
	return k, ok
}

// came notes a greeting of a run over a connection that was opened at some time. It reports whether
// an earlier run was there again, and which was there meanwhile, after a later one had greeted,
// which no restart brings about: boot A, then B, then A over a newer connection.
func (t *table) came(p peer.ID, boot string, opened, now time.Time) (before string, again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := runKey{p, kindOf(boot)}
	l, known := t.runs[key]
	switch {
	case known && l.boot == boot || boot == "":
		return "", false
	case known && l.before == boot:
		if opened.Before(l.at) {
			return "", false // an older connection, which is late
		}
		again = true
	}
	if !known && len(t.runs) >= maxLineage {
		for other := range t.runs { // any one: a map's order is random
			delete(t.runs, other)
			break
		}
	}
	if t.runs == nil {
		t.runs = make(map[runKey]lineage)
	}
	t.runs[key] = lineage{before: l.boot, boot: boot, at: now}
	return l.boot, again
}

// NewBoot names a run of a program: its role and a random text.
func NewBoot(role, random string) string {
	return role[:min(len(role), greet.MaxBoot-len(random)-1)] + "-" + random
}

// kindOf is the part of a boot that names the role.
func kindOf(boot string) string { return boot[:strings.LastIndex(boot, "-")+1] }

// twoRuns reports whether two boots can only be of two machines, when both are alive.
func twoRuns(a, b string) bool { return a != "" && b != "" && a != b && kindOf(a) == kindOf(b) }

// pair is one connection of each of two runs of one identity.
type pair [2]greet.PeerInfo

// pairs returns those that have greeted over connections that are open: of each identity and role
// the two that came last.
func pairs(peers []greet.PeerInfo) (out []pair) {
	newest := make(map[runKey][]greet.PeerInfo)
	slices.SortFunc(peers, func(a, b greet.PeerInfo) int { return b.Since.Compare(a.Since) })
	for _, i := range peers {
		if i.Hello.Boot == "" {
			continue
		}
		key := runKey{i.ID, kindOf(i.Hello.Boot)}
		if runs := newest[key]; len(runs) == 0 || len(runs) == 1 && runs[0].Hello.Boot != i.Hello.Boot {
			newest[key] = append(runs, i)
		}
	}
	for _, runs := range newest {
		if len(runs) == 2 {
			out = append(out, pair(runs))
		}
	}
	return out
}
