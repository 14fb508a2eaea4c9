package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/nearest"
	"github.com/seed-b490fa12/swarm/internal/selector"
	"github.com/seed-b490fa12/swarm/streams"
)

// Selection says which machines an operation is for. One of its parts is used:
// Names, All, On or Best.
type Selection struct {
	// Names are names of the address book, unique prefixes of peer IDs, or
	// multiaddrs that end in /p2p/<peer ID>.
	Names []string `json:"names,omitzero"`
	// All means every saved machine, the bootstrap peers and, for an operation
	// without an effect, those that discovery gives within Wait.
	All bool `json:"all,omitzero"`
	// On picks saved machines by their labels: the text of a [selector.Selector].
	On string `json:"on,omitzero"`
	// Best picks this many of the saved machines, the best ones by score and
	// round trip.
	Best int `json:"best,omitzero"`
	// Wait is for how long All listens to discovery.
	Wait time.Duration `json:"waitMs,omitzero"`
}

// ErrSelection is in the chain of errors about a selection that names nothing:
// nobody was asked.
var ErrSelection = errors.New("no such target")

// Target is a machine that an operation is for.
type Target struct {
	Peer peer.ID `json:"peer"`
	// Name is the owner's name for it; empty when it has none.
	Name string `json:"name,omitzero"`
	// Claimed is what the machine calls itself.
	Claimed string `json:"claimed,omitzero"`
}

// Label is how a person knows the target: by its name, or by what it calls
// itself, in quotes, and its peer ID.
func (t Target) Label() string {
	id := t.Peer.String()
	switch {
	case t.Name != "":
		return t.Name
	case t.Claimed != "":
		return fmt.Sprintf("%q %s", t.Claimed, id[:min(len(id), 16)])
	}
	return id
}

// Display is the name for programs: the owner's, else the machine's own.
func (t Target) Display() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Claimed
}

func targetOf(m book.Entry) Target {
	return Target{Peer: m.Peer, Name: m.Name, Claimed: m.ClaimedName}
}

// targets finds the machines that a selection means.
type targets struct {
	node  *node.Node
	fleet *trust.Fleet    // nil in open mode
	boot  []peer.AddrInfo // where the controller begins
	found *finder
	log   *slog.Logger
}

// newTargets returns targets that work once node is set.
func newTargets(fleet *trust.Fleet, boot []peer.AddrInfo, fanOut int, log *slog.Logger) *targets {
	ts := &targets{fleet: fleet, boot: boot, log: log, found: newFinder(fanOut, log)}
	ts.found.targets = ts
	return ts
}

// pick returns the targets that are known now.
func (ts *targets) pick(s Selection) ([]Target, error) {
	switch {
	case len(s.Names) > 0:
		return ts.pickNames(s.Names)
	case s.All:
		return ts.all(), nil
	case s.On != "":
		return ts.pickLabels(s.On)
	case s.Best > 0:
		return ts.pickBest(s.Best)
	}
	return nil, fmt.Errorf("%w: none is given; name a machine, or use --all, --on or --best", ErrSelection)
}

func (ts *targets) pickNames(names []string) (out []Target, err error) {
	for _, name := range names {
		t, err := ts.Find(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o Target) bool { return o.Peer == t.Peer }) {
			out = append(out, t)
		}
	}
	return out, nil
}

// Find returns the one machine that a word of the command line means.
func (ts *targets) Find(word string) (Target, error) {
	if strings.HasPrefix(word, "/") {
		return ts.findAddr(word)
	}
	m, err := ts.node.Book().Find(word)
	if err == nil {
		return targetOf(m), nil
	}
	if errors.Is(err, book.ErrAmbiguous) {
		return Target{}, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	if id, err := peer.Decode(word); err == nil {
		return Target{Peer: id}, nil
	}
	if boot := ts.bootstrapPeers(word); len(boot) == 1 {
		return ts.known(boot[0]), nil
	}
	switch begun := ts.begunSo(word); {
	case len(begun) > 1:
		return Target{}, fmt.Errorf("%w: %q fits %d machines: %s", ErrSelection, word, len(begun), labels(begun))
	case len(begun) == 1 && !cutsNumber(word, begun[0].Name):
		return begun[0], nil
	}
	if claimed := ts.claimants(word); len(claimed) > 0 {
		return Target{}, fmt.Errorf("%w: no machine is named %q here. %s calls itself so: if it is the one, name it with: swarm peers add %s --name %s",
			ErrSelection, word, claimed[0], claimed[0], word)
	}
	if addr := multiaddrOf(word); addr != "" {
		return Target{}, fmt.Errorf("%w: %q is an address without the identity of its machine; give its name (swarm peers), or "+
			"%s/p2p/<peer ID>", ErrSelection, word, addr)
	}
	return Target{}, fmt.Errorf("%w: no machine is named %q here%s. See: swarm peers; or give its address, /ip4/…/tcp/…/p2p/<peer ID>",
		ErrSelection, word, nearest.Hint(word, ts.names()))
}

// multiaddrOf writes an address such as 192.0.2.7, [2001:db8::7]:4747 or rig-01.lan:4747 as a multiaddr;
// empty for what is none.
func multiaddrOf(word string) string {
	name, port, err := net.SplitHostPort(word)
	if err != nil {
		name, port = word, strconv.Itoa(host.DefaultPort)
	}
	switch ip, parsed := netip.ParseAddr(name); {
	case parsed == nil && ip.Is4():
		return "/ip4/" + name + "/tcp/" + port
	case parsed == nil:
		return "/ip6/" + name + "/tcp/" + port
	case err == nil && name != "":
		return "/dns/" + name + "/tcp/" + port
	}
	return ""
}

// begunSo returns the machines whose names begin so.
func (ts *targets) begunSo(word string) (out []Target) {
	for _, m := range ts.node.Book().All() {
		if word != "" && strings.HasPrefix(m.Name, word) && !m.Hint && m.Peer != ts.node.ID() &&
			(ts.fleet == nil || !ts.fleet.Revoked(m.Peer)) {
			out = append(out, targetOf(m))
		}
	}
	return out
}

// cutsNumber reports whether the beginning of a name ends within a number: by "rig-1" nobody means the
// machine rig-10, which may be the only one left.
func cutsNumber(begin, name string) bool {
	return len(begin) < len(name) && isDigit(begin[len(begin)-1]) && isDigit(name[len(begin)])
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// labels names a few machines.
func labels(targets []Target) string {
	const shown = 8
	var out []string
	for _, t := range targets[:min(len(targets), shown)] {
		out = append(out, t.Label())
	}
	slices.Sort(out)
	if len(targets) > shown {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

// names returns the names that the owner gave.
func (ts *targets) names() (out []string) {
	for _, m := range ts.node.Book().All() {
		if m.Name != "" {
			out = append(out, m.Name)
		}
	}
	return out
}

// known returns what the address book says of a machine.
func (ts *targets) known(p peer.ID) Target {
	if m, ok := ts.node.Book().Get(p); ok {
		return targetOf(m)
	}
	return Target{Peer: p}
}

func (ts *targets) findAddr(addr string) (Target, error) {
	infos, err := host.ParsePeers(addr)
	if err != nil {
		return Target{}, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	info := infos[0]
	ts.node.Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour)
	return ts.known(info.ID), nil
}

// bootstrapPeers returns the peers to begin with whose IDs begin so. They may
// not be saved yet.
func (ts *targets) bootstrapPeers(prefix string) (out []peer.ID) {
	for _, p := range ts.boot {
		if book.MatchesID(prefix, p.ID) {
			out = append(out, p.ID)
		}
	}
	return out
}

// claimants returns the saved peers that call themselves name.
func (ts *targets) claimants(name string) (out []peer.ID) {
	for _, m := range ts.node.Book().All() {
		if m.ClaimedName == name {
			out = append(out, m.Peer)
		}
	}
	return out
}

func (ts *targets) pickMembers(want func(book.Entry) bool) (out []Target) {
	for _, m := range ts.node.Book().All() {
		if !m.Hint && m.Peer != ts.node.ID() && ts.wanted(m) && want(m) {
			out = append(out, targetOf(m))
		}
	}
	return out
}

// all returns the saved machines that commands for groups are for.
func (ts *targets) all() []Target { return ts.pickMembers(func(book.Entry) bool { return true }) }

// pickLabels picks the saved machines, in a fleet its workers, whose labels match.
func (ts *targets) pickLabels(text string) ([]Target, error) {
	s, err := selector.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: --on %w", ErrSelection, err)
	}
	var labels []map[string]string
	out := ts.pickMembers(func(m book.Entry) bool {
		labels = append(labels, m.Labels)
		return s.Match(m.Labels)
	})
	if len(out) > 0 {
		return out, nil
	}
	why := s.Missed(labels)
	if why != "" {
		why = ": " + why
	}
	if ts.fleet != nil {
		return nil, fmt.Errorf("%w: no worker of the fleet has the labels %s%s. See: swarm members", ErrSelection, text, why)
	}
	return nil, fmt.Errorf("%w: no saved machine has the labels %s%s. See: swarm peers", ErrSelection, text, why)
}

// ParseLabels reads labels of the form key=value.
func ParseLabels(words []string) (map[string]string, error) {
	labels := make(map[string]string, len(words))
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("label %q: want key=value", w)
		}
		labels[k] = v
	}
	return labels, nil
}

// inGroup reports whether a bootstrap peer belongs to all machines: in a fleet only once it has
// shown that it is a worker, and one that nobody need look at first.
func (ts *targets) inGroup(ctx context.Context, p peer.ID) bool {
	if ts.fleet == nil {
		return true
	}
	if _, known := ts.fleet.Known(p); !known {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		if _, err := ts.node.Greeting(ctx, p); err != nil {
			return true // why it does not answer is said as of any other
		}
	}
	m, known := ts.fleet.Known(p)
	return !known || m.Grant.Role == trust.RoleWorker && !fleetdir.Waits(m) && !ts.fleet.Revoked(p)
}

// each hands every target of the selection to do: those known now at once, and
// for All those that discovery finds within s.Wait as they are found. It
// returns how many there were.
//
// Discovery may find anybody's machine. It is asked, so that its owner sees it
// in the answers, but never told to do something, which may carry secrets: that
// is for machines that are saved, because they answered before or were named.
func (ts *targets) each(ctx context.Context, s Selection, op streams.Spec, do func(Target)) (int, error) {
	targets, err := ts.Resolve(ctx, s)
	if err != nil {
		return 0, err
	}
	if s.All {
		for _, b := range ts.boot {
			if ts.inGroup(ctx, b.ID) {
				targets = append(targets, ts.known(b.ID))
			}
		}
	}
	n := 0
	tell := once(func(t Target) {
		n++
		do(t)
	})
	for _, t := range targets {
		tell(t)
	}
	switch {
	case !s.All || s.Wait <= 0:
	case ts.fleet != nil:
		// Members prove that they are, so they may be told to do something.
		if len(ts.worthAsking()) > 0 {
			ts.learnMembers(ctx, s.Wait, tell)
		} else {
			ts.found.discover(ctx, s.Wait, op.Family.Name, tell)
		}
	case !op.Verb.HasEffect():
		ts.found.discover(ctx, s.Wait, op.Family.Name, tell)
	}
	switch {
	case n > 0:
		return n, nil
	case ts.fleet != nil:
		return 0, fmt.Errorf("%w: no worker of the fleet %s is known here. Let one in: swarm invite NAME",
			ErrSelection, ts.fleet.Name())
	case op.Verb.HasEffect():
		return 0, fmt.Errorf("%w: no machine is saved, and %s is not for machines that were only just found. "+
			"Look at them first: swarm stats --all", ErrSelection, op.Request)
	default:
		return 0, fmt.Errorf("%w: no machine is known and none was found in %v. Give the address of one: --bootstrap /ip4/…/tcp/…/p2p/<peer ID>", ErrSelection, s.Wait)
	}
}

// once passes each machine on to do the first time only.
func once(do func(Target)) func(Target) {
	seen := make(map[peer.ID]bool)
	return func(t Target) {
		if !seen[t.Peer] {
			seen[t.Peer] = true
			do(t)
		}
	}
}

// relayName names who passes on what goes to an address; empty for a direct one.
func (ts *targets) relayName(a multiaddr.Multiaddr) string {
	relay := route.RelayOf(a)
	if relay == "" {
		return ""
	}
	m, _ := ts.node.Book().Get(relay)
	return cmp.Or(targetOf(m).Display(), relay.String())
}

func (ts *targets) relayNameText(addr string) string {
	a, err := multiaddr.NewMultiaddr(addr)
	if err != nil {
		return ""
	}
	return ts.relayName(a)
}

// Refresh reads again what other processes of this machine may have changed.
func (ts *targets) Refresh() {
	if err := ts.node.Book().Reload(); err != nil {
		ts.log.Warn("the address book cannot be read again", "err", err)
	}
	if f := ts.fleet; f != nil {
		if err := f.Reload(); err != nil {
			ts.log.Warn("the fleet cannot be read again", "err", err)
		}
	}
}

// twinWords say that two machines run with the identity of p; nothing where that is not known.
func (ts *targets) twinWords(p peer.ID) string {
	if t, ok := ts.node.Twin(p); ok {
		return t.Words()
	}
	return ""
}
