// Package names resolves the names in addresses of peers: at once from memory, and anew behind.
//
//	look := r.Look(peer, addrs) // asks the name server, and does not wait
//	dial(look.Known)            // what is known by now
//	<-look.Changed              // there may be more
//	look.Again()
//
// In a network with IPv6 alone, what an address of IPv4 stands for is by which address the network's
// translator leads there.
//
// A name server that is silent, or slow, so never holds up an address that is known without it. A
// Resolver is also the resolver of a libp2p node, which it tells what it remembers.
package names

// A repair of github.com/libp2p/go-libp2p v0.51.0: it resolves all names of a peer before it dials
// any of its addresses, and Go waits 5 s for each question to a silent server, twice. No issue is
// known: see docs/upstream.md. Resolver may go when the library dials a peer's addresses while it
// resolves the others.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
)

// Reasons why a name stands for no address.
var (
	// ErrServer means that the name server does not answer, or not to the question. Retry later.
	ErrServer = errors.New("the name server does not answer")
	// ErrUnknown means that there is no such name, or that it has no address. Mend the name.
	ErrUnknown = errors.New("no such name")
)

const (
	lookupTime  = 10 * time.Second // for one question: Go turns to a second server after 5 s
	lookupAgain = time.Second      // from an answer until the next question
	// hopeless is for how long a server that did not answer is not waited for: it is asked again, and
	// what waits is told that it does not answer.
	hopeless = 30 * time.Second

	mostLookups = 32  // at once
	mostNames   = 256 // remembered
	mostAnswers = 16  // to one question
	mostName    = 255 // bytes, as in RFC 1035
	mostDepth   = 4   // names that lead to names
)

// DNS is what a Resolver asks, such as net.DefaultResolver.
type DNS interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Resolver remembers what names stand for. Its methods may be called concurrently.
type Resolver struct {
	dns   DNS
	only6 func() bool
	life  context.Context // of the lookups
	end   context.CancelFunc
	slots chan struct{} // one for each lookup under way

	mu      sync.Mutex // guards what follows
	lookups sync.WaitGroup
	known   map[question]*answer
	changed chan struct{} // closed and replaced when a lookup ends
}

// question is what a name server is asked: A and AAAA each by itself, since some servers answer only
// one of the two.
type question struct{ kind, name string }

const (
	ip4 = "ip4"
	ip6 = "ip6"
	txt = "txt"
)

// answer is what is known about a question.
type answer struct {
	records []string // of the last good answer
	err     error    // of the last lookup
	asked   time.Time
	ended   time.Time // the last lookup
	open    bool      // a lookup is under way
}

// New returns a Resolver that asks dns. only6 reports whether this machine has a way to other networks
// by IPv6, and none by IPv4; nil means that it does not matter. Close it in the end.
func New(dns DNS, only6 func() bool) *Resolver {
	if only6 == nil {
		only6 = func() bool { return false }
	}
	r := &Resolver{
		dns: dns, only6: only6, slots: make(chan struct{}, mostLookups),
		known: make(map[question]*answer), changed: make(chan struct{}),
	}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// Close ends all lookups.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.lookups.Wait()
}

// ask returns what is known about a question, and has it asked anew unless there is an answer since
// then. wait reports whether one is worth waiting for.
func (r *Resolver) ask(q question, since time.Time) (a answer, wait bool) {
	if len(q.name) > mostName {
		return answer{err: ErrUnknown}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known[q]
	if known == nil {
		r.makeRoom()
		known = &answer{}
		r.known[q] = known
	}
	known.asked = time.Now()
	if !known.open && known.ended.Before(since) && r.life.Err() == nil {
		known.open = true
		r.lookups.Go(func() { r.lookup(q, known) })
	}
	given := errors.Is(known.err, ErrServer) && time.Since(known.ended) < hopeless
	return *known, known.open && !given
}

// makeRoom forgets the question that was of use longest ago, when there are too many. The lock is
// held.
func (r *Resolver) makeRoom() {
	for len(r.known) >= mostNames {
		var oldest question
		for q, a := range r.known {
			if o := r.known[oldest]; o == nil || a.asked.Before(o.asked) {
				oldest = q
			}
		}
		delete(r.known, oldest)
	}
}

// lookup asks a question, and remembers the answer.
func (r *Resolver) lookup(q question, a *answer) {
	ctx, cancel := context.WithTimeout(r.life, lookupTime)
	defer cancel()
	records, err := r.question(ctx, q)
	r.mu.Lock()
	defer r.mu.Unlock()
	a.open, a.ended, a.err = false, time.Now(), err
	if err == nil {
		a.records = records[:min(len(records), mostAnswers)]
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Resolver) question(ctx context.Context, q question) (records []string, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, ErrServer
	}
	if q.kind == txt {
		records, err = r.dns.LookupTXT(ctx, q.name)
	} else {
		var addrs []netip.Addr
		addrs, err = r.dns.LookupNetIP(ctx, q.kind, q.name)
		for _, a := range addrs {
			records = append(records, a.Unmap().WithZone("").String())
		}
	}
	if err == nil && len(records) == 0 {
		err = ErrUnknown
	}
	return records, reason(err)
}

// reason puts the kind of a failed lookup before its cause.
func reason(err error) error {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil || errors.Is(err, ErrUnknown):
		return err
	case ok && dns.IsNotFound:
		return ErrUnknown
	case ok && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return ErrServer
	case ok:
		return fmt.Errorf("%w: %s", ErrServer, dns.Err)
	}
	return fmt.Errorf("%w: %w", ErrServer, err)
}

// Addr is an address that a name stands for.
type Addr struct {
	Name, Addr multiaddr.Multiaddr
	// Translated means that the name stands for an address of IPv4, and Addr is where this network's
	// translator takes it. The library does not find that by itself.
	Translated bool
}

// Look is what is known about the names in some addresses of a peer.
type Look struct {
	// Known are the addresses that the names stand for, as far as that is known.
	Known []Addr
	// Open reports whether answers are awaited; Changed is closed when one has come.
	Open    bool
	Changed <-chan struct{}
	// Failed are the addresses whose names stand for nothing, as far as that is known.
	Failed []Failure

	r     *Resolver
	peer  peer.ID
	addrs []multiaddr.Multiaddr
	since time.Time
}

// Failure is an address whose name stands for nothing.
type Failure struct {
	Name multiaddr.Multiaddr
	Err  error // ErrServer, also while the answer is awaited, or ErrUnknown
}

// Look asks for what the names in the addresses of a peer stand for, and returns what is known. It
// does not wait.
func (r *Resolver) Look(p peer.ID, addrs []multiaddr.Multiaddr) *Look {
	l := &Look{r: r, peer: p, addrs: addrs, since: time.Now().Add(-lookupAgain)}
	l.Again()
	return l
}

// Again looks at what is known by now. Only what answers have led to is asked.
func (l *Look) Again() {
	l.Known, l.Failed, l.Open = nil, nil, false
	l.r.mu.Lock()
	l.Changed = l.r.changed
	l.r.mu.Unlock()
	for _, a := range l.addrs {
		v := &view{r: l.r, since: l.since}
		found := v.resolve(l.peer, a)
		l.Open = l.Open || v.open
		for _, f := range found {
			l.Known = append(l.Known, Addr{Name: a, Addr: f, Translated: multiaddr.Contains(v.translations, f)})
		}
		if len(found) == 0 {
			l.Failed = append(l.Failed, Failure{Name: a, Err: v.why()})
		}
	}
}

// Resolve returns what an address with a name stands for. It waits for the name server until ctx
// ends; what is known by then is good enough.
func (r *Resolver) Resolve(ctx context.Context, p peer.ID, a multiaddr.Multiaddr) ([]multiaddr.Multiaddr, error) {
	look := r.Look(p, []multiaddr.Multiaddr{a})
	for look.Open && ctx.Err() == nil {
		select {
		case <-look.Changed:
			look.Again()
		case <-ctx.Done():
		}
	}
	if len(look.Failed) > 0 {
		return nil, look.Failed[0].Err
	}
	out := make([]multiaddr.Multiaddr, len(look.Known))
	for i, k := range look.Known {
		out[i] = k.Addr
	}
	return out, nil
}

// Named reports whether an address begins with a name.
func Named(a multiaddr.Multiaddr) bool {
	if len(a) == 0 {
		return false
	}
	switch a[0].Protocol().Code {
	case multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6, multiaddr.P_DNSADDR:
		return true
	}
	return false
}

// ResolveDNSAddr returns what the Resolver remembers of a dnsaddr; it is libp2p's
// network.MultiaddrDNSResolver, as is ResolveDNSComponent.
func (r *Resolver) ResolveDNSAddr(
	_ context.Context, p peer.ID, a multiaddr.Multiaddr, depth, most int,
) ([]multiaddr.Multiaddr, error) {
	return cut(r.now().dnsaddr(p, a, min(depth, mostDepth)), most), nil
}

// ResolveDNSComponent returns what the Resolver remembers of a name.
func (r *Resolver) ResolveDNSComponent(_ context.Context, a multiaddr.Multiaddr, most int) ([]multiaddr.Multiaddr, error) {
	return cut(r.now().component(a), most), nil
}

func (r *Resolver) now() *view { return &view{r: r, since: time.Now().Add(-lookupAgain)} }

func cut(addrs []multiaddr.Multiaddr, most int) []multiaddr.Multiaddr {
	return addrs[:min(len(addrs), max(most, 0))]
}

// view resolves one address from memory, and notes what that took.
type view struct {
	r     *Resolver
	since time.Time // older answers are asked anew
	kinds []string  // of addresses that are asked for
	open  bool      // an answer is awaited
	errs  []error   // of questions without an answer

	translations []multiaddr.Multiaddr
}

// why says why a name stands for nothing: a silent server before a name that is not known.
func (v *view) why() error {
	for _, err := range v.errs {
		if errors.Is(err, ErrServer) {
			return err
		}
	}
	if v.open {
		return ErrServer // as yet
	}
	return ErrUnknown
}

// resolve returns what an address with a name stands for, as far as that is known.
func (v *view) resolve(p peer.ID, a multiaddr.Multiaddr) []multiaddr.Multiaddr {
	if !Named(a) {
		return v.translated(a)
	}
	var out []multiaddr.Multiaddr
	for _, named := range v.dnsaddr(p, a, mostDepth) {
		named, _ = peer.SplitAddr(named) // a dnsaddr names the peer, too
		for _, found := range v.component(named) {
			out = append(append(out, v.translated(found)...), found)
		}
	}
	return cut(out, mostAnswers)
}

// dnsaddr returns the addresses that a dnsaddr stands for, some of which may have other names in
// them; any other address as it is. Those of other peers are left out.
func (v *view) dnsaddr(p peer.ID, a multiaddr.Multiaddr, depth int) (out []multiaddr.Multiaddr) {
	if len(a) == 0 || a[0].Protocol().Code != multiaddr.P_DNSADDR {
		return []multiaddr.Multiaddr{a}
	}
	if depth == 0 {
		return nil
	}
	for _, found := range v.once(a) {
		if id, err := peer.IDFromP2PAddr(found); err == nil && p != "" && id != p {
			continue
		}
		out = append(out, v.dnsaddr(p, found, depth-1)...)
	}
	return cut(out, mostAnswers)
}

// component returns what an address stands for that begins with a name of its IP address; any other
// as it is.
func (v *view) component(a multiaddr.Multiaddr) []multiaddr.Multiaddr {
	if !Named(a) {
		return []multiaddr.Multiaddr{a}
	}
	switch a[0].Protocol().Code {
	case multiaddr.P_DNS4:
		v.kinds = []string{ip4}
	case multiaddr.P_DNS6:
		v.kinds = []string{ip6}
	default:
		v.kinds = []string{ip4, ip6}
	}
	return v.once(a)
}

// once puts what is known in the place of the name that an address begins with.
func (v *view) once(a multiaddr.Multiaddr) []multiaddr.Multiaddr {
	names, err := madns.NewResolver(madns.WithDefaultResolver(v))
	if err != nil {
		return nil
	}
	out, err := names.Resolve(v.r.life, a) // a view waits for nothing
	if err != nil {
		return nil
	}
	return out
}

// LookupIPAddr returns the addresses that are known of a name.
func (v *view) LookupIPAddr(_ context.Context, name string) ([]net.IPAddr, error) {
	var out []net.IPAddr
	for _, kind := range v.kinds {
		for _, record := range v.ask(question{kind, name}) {
			out = append(out, net.IPAddr{IP: net.ParseIP(record)})
		}
	}
	return out, nil
}

// LookupTXT returns the texts that are known of a name.
func (v *view) LookupTXT(_ context.Context, name string) ([]string, error) {
	return v.ask(question{txt, name}), nil
}

func (v *view) ask(q question) []string {
	a, wait := v.r.ask(q, v.since)
	v.open = v.open || wait
	if len(a.records) == 0 && a.err != nil {
		v.errs = append(v.errs, a.err)
	}
	return slices.Clone(a.records)
}
