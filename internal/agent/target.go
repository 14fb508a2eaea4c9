package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// Selection says which machines an operation is for. One of its parts is used:
// Names, All, On or Best.
type Selection struct {
	// Names are names of the address book, unique prefixes of peer IDs, or
	// multiaddrs that end in /p2p/<peer ID>.
	Names []string
	// All means every saved machine, the bootstrap peers and, for an operation
	// without an effect, those that discovery gives within Wait.
	All bool
	// On picks saved machines by their labels: "key=value", several joined by commas.
	On string
	// Best picks this many of the saved machines, the best ones by score and
	// round trip.
	Best int
	// Wait is for how long All listens to discovery.
	Wait time.Duration
}

// ErrSelection is in the chain of errors about a selection that names nothing:
// nobody was asked.
var ErrSelection = errors.New("no such target")

// Target is a machine that an operation is for.
type Target struct {
	Peer peer.ID
	// Name is the owner's name for it; empty when it has none.
	Name string
	// Claimed is what the machine calls itself.
	Claimed string
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

// pick returns the targets that are known now.
func (c *Controller) pick(s Selection) ([]Target, error) {
	switch {
	case len(s.Names) > 0:
		return c.pickNames(s.Names)
	case s.All:
		return c.pickMembers(func(book.Entry) bool { return true }), nil
	case s.On != "":
		return c.pickLabels(s.On)
	case s.Best > 0:
		return c.pickBest(s.Best)
	}
	return nil, fmt.Errorf("%w: name a machine, or use --all, --on or --best", ErrSelection)
}

func (c *Controller) pickNames(names []string) (out []Target, err error) {
	for _, name := range names {
		t, err := c.Find(name)
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
func (c *Controller) Find(word string) (Target, error) {
	if strings.HasPrefix(word, "/") {
		return c.findAddr(word)
	}
	m, err := c.Node.Book().Find(word)
	if err == nil {
		return targetOf(m), nil
	}
	if errors.Is(err, book.ErrAmbiguous) {
		return Target{}, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	if id, err := peer.Decode(word); err == nil {
		return Target{Peer: id}, nil
	}
	if boot := c.bootstrapPeers(word); len(boot) == 1 {
		return c.known(boot[0]), nil
	}
	if claimed := c.claimants(word); len(claimed) > 0 {
		return Target{}, fmt.Errorf("%w: no machine is named %q here. %s calls itself so: if it is the one, name it with: swarm peers add %s --name %s",
			ErrSelection, word, claimed[0], claimed[0], word)
	}
	return Target{}, fmt.Errorf("%w: no machine is named %q here. See: swarm peers; or give its address, /ip4/…/tcp/…/p2p/<peer ID>", ErrSelection, word)
}

// known returns what the address book says of a machine.
func (c *Controller) known(p peer.ID) Target {
	if m, ok := c.Node.Book().Get(p); ok {
		return targetOf(m)
	}
	return Target{Peer: p}
}

func (c *Controller) findAddr(addr string) (Target, error) {
	infos, err := host.ParsePeers(addr)
	if err != nil {
		return Target{}, fmt.Errorf("%w: %w", ErrSelection, err)
	}
	info := infos[0]
	c.Node.Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour)
	return c.known(info.ID), nil
}

// bootstrapPeers returns the peers to begin with whose IDs begin so. They may
// not be saved yet.
func (c *Controller) bootstrapPeers(prefix string) (out []peer.ID) {
	for _, p := range c.boot {
		if book.MatchesID(prefix, p.ID) {
			out = append(out, p.ID)
		}
	}
	return out
}

// claimants returns the saved peers that call themselves name.
func (c *Controller) claimants(name string) (out []peer.ID) {
	for _, m := range c.Node.Book().All() {
		if m.ClaimedName == name {
			out = append(out, m.Peer)
		}
	}
	return out
}

func (c *Controller) pickMembers(want func(book.Entry) bool) (out []Target) {
	for _, m := range c.Node.Book().All() {
		if !m.Hint && m.Peer != c.Node.ID() && c.wanted(m) && want(m) {
			out = append(out, targetOf(m))
		}
	}
	return out
}

func (c *Controller) pickLabels(selector string) ([]Target, error) {
	if c.fleet != nil {
		return c.pickSelector(selector)
	}
	want, err := ParseLabels(strings.Split(selector, ","))
	if err != nil {
		return nil, fmt.Errorf("%w: selector %q: %w", ErrSelection, selector, err)
	}
	out := c.pickMembers(func(m book.Entry) bool {
		for k, v := range want {
			if m.Labels[k] != v {
				return false
			}
		}
		return true
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no saved machine has the labels %s. See: swarm peers", ErrSelection, selector)
	}
	return out, nil
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

// inGroup reports whether a bootstrap peer belongs to all machines: in a fleet only once it has shown
// that it is a worker, and one that nobody need look at first.
func (c *Controller) inGroup(ctx context.Context, p peer.ID) bool {
	if c.fleet == nil {
		return true
	}
	if _, known := c.fleet.Known(p); !known {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		if _, err := c.Node.Greeting(ctx, p); err != nil {
			return true // why it does not answer is said as of any other
		}
	}
	m, known := c.fleet.Known(p)
	return !known || m.Grant.Role == trust.RoleWorker && !waits(m) && !c.fleet.Revoked(p)
}

// each hands every target of the selection to do: those known now at once, and
// for All those that discovery finds within s.Wait as they are found. It
// returns how many there were.
//
// Discovery may find anybody's machine. It is asked, so that its owner sees it
// in the answers, but never told to do something, which may carry secrets: that
// is for machines that are saved, because they answered before or were named.
func (c *Controller) each(ctx context.Context, s Selection, op streams.Spec, do func(Target)) (int, error) {
	targets, err := c.pickAsking(ctx, s)
	if err != nil {
		return 0, err
	}
	if s.All {
		for _, b := range c.boot {
			if c.inGroup(ctx, b.ID) {
				targets = append(targets, c.known(b.ID))
			}
		}
	}
	seen := make(map[peer.ID]bool)
	for _, t := range targets {
		if !seen[t.Peer] {
			seen[t.Peer] = true
			do(t)
		}
	}
	tell := func(t Target) {
		if !seen[t.Peer] {
			seen[t.Peer] = true
			do(t)
		}
	}
	switch {
	case !s.All || s.Wait <= 0:
	case c.fleet != nil:
		// Members prove that they are, so they may be told to do something.
		if len(c.worthAsking()) > 0 {
			c.learnMembers(ctx, s.Wait, tell)
		} else {
			c.discover(ctx, s.Wait, op.Family.Name, tell)
		}
	case !op.Verb.HasEffect():
		c.discover(ctx, s.Wait, op.Family.Name, tell)
	}
	if len(seen) == 0 && c.fleet != nil {
		return 0, fmt.Errorf("%w: no worker of the fleet %s is known here. Let one in: swarm invite NAME", ErrSelection, c.fleet.Name())
	}
	if len(seen) == 0 && op.Verb.HasEffect() {
		return 0, fmt.Errorf("%w: no machine is saved, and %s is not for machines that were only just found. Look at them first: swarm controller exec get_stats --all", ErrSelection, op.Request)
	}
	if len(seen) == 0 {
		return 0, fmt.Errorf("%w: no machine is known and none was found in %v. Give the address of one: --bootstrap /ip4/…/tcp/…/p2p/<peer ID>", ErrSelection, s.Wait)
	}
	return len(seen), nil
}
