package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/seed-b490fa12/swarm/streams/bulk"
	"github.com/seed-b490fa12/swarm/streams/quota"
)

// Mux serves requests: it runs the handlers that were registered on it, behind the guard. Its
// methods may be called concurrently.
//
// Handlers serve from the moment they are registered. [Mux.Serve] owns the end: when it returns, no
// handler runs any more.
type Mux struct {
	host     Host
	cfg      Config
	self     sender
	sessions sessions
	open     quota.Streams
	rates    *rates
	// strangers is the memory for the frames of all strangers.
	strangers *quota.Memory
	replays   *replays
	bulks     bulk.Links
	readings  readings
	notifiee  *network.NotifyBundle

	base    context.Context // of all handlers: ends when draining gave up
	abort   context.CancelFunc
	feeds   context.Context // ends when draining begins, and feeds with it
	endFeed context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex // guards what follows
	families map[string]*family
	draining bool
	streams  map[*serverStream]struct{}
}

// family is a registered family with its types.
type family struct {
	Family
	types map[Type]*entry
}

// entry is a registered type. serve decodes the payload, does the work and replies; an error it
// returns becomes the reply.
type entry struct {
	Spec
	serve func(ctx context.Context, x *exchange) error
}

// NewMux returns a mux that serves on h. It registers nothing by itself.
func NewMux(h Host, cfg Config) *Mux {
	cfg = cfg.withDefaults()
	m := &Mux{
		host: h, cfg: cfg, self: newSender(h.ID()), open: quota.Streams{Member: memberStreams, Stranger: strangerStreams},
		rates: newRates(cfg.Limits), strangers: quota.NewMemory(strangersMemory),
		replays: newReplays(maxPeers, maxAnswers, cfg.Journal), bulks: bulk.Links{Line: cfg.Line, Open: openOne},
		families: make(map[string]*family), streams: make(map[*serverStream]struct{}),
	}
	m.base, m.abort = context.WithCancel(context.Background())
	m.feeds, m.endFeed = context.WithCancel(m.base)
	m.notifiee = &network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) { m.sessions.remove(c) }}
	h.Network().Notify(m.notifiee)
	return m
}

// Serve waits for the end of ctx and then stops serving: new requests are refused, feeds are ended,
// and running handlers have Limits.Drain to finish before their streams are reset. It returns nil
// when all ended in time. A mux cannot be used again after Serve.
func (m *Mux) Serve(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	m.draining = true
	for _, f := range m.families {
		for _, v := range f.Versions {
			m.host.RemoveStreamHandler(f.protocolID(v))
		}
	}
	for s := range m.streams {
		s.wake()
	}
	m.mu.Unlock()
	m.endFeed()

	ended := make(chan struct{})
	go func() { m.running.Wait(); close(ended) }()
	defer m.host.Network().StopNotify(m.notifiee)
	defer m.abort()
	select {
	case <-ended:
		return nil
	case <-time.After(m.cfg.Limits.Drain):
	}
	m.abort()
	left := m.resetAll()
	select {
	case <-ended:
		return nil
	case <-time.After(m.cfg.Limits.Drain):
		return fmt.Errorf("stop serving: %d handlers did not end in %v", left, 2*m.cfg.Limits.Drain)
	}
}

func (m *Mux) resetAll() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		s.ResetWithError(network.StreamShutdown)
	}
	return len(m.streams)
}

// SetClockOffset tells the mux how far the clock of c's peer is ahead of ours. The dialling side
// measures it in the handshake; for inbound connections the mux measures it itself.
func (m *Mux) SetClockOffset(c network.Conn, ahead time.Duration) {
	m.sessions.of(m.base, c).offset.Store(int64(ahead))
}

// FamilyInfo is a registered family as peers see it in the handshake.
type FamilyInfo struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
}

// Bounds of what a peer says of its families.
const (
	MaxVersions      = 16
	maxVersionLength = 64
)

// Validate checks the bounds of what a peer says of a family.
func (f FamilyInfo) Validate() error {
	if !familyName.MatchString(f.Name) || len(f.Versions) == 0 || len(f.Versions) > MaxVersions {
		return fmt.Errorf("want names of [a-z0-9_-] with 1 to %d versions", MaxVersions)
	}
	for _, v := range f.Versions {
		if len(v) > maxVersionLength {
			return fmt.Errorf("a version has more than %d bytes", maxVersionLength)
		}
	}
	return nil
}

// Families returns the registered families, sorted by name.
func (m *Mux) Families() []FamilyInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []FamilyInfo
	for _, name := range slices.Sorted(maps.Keys(m.families)) {
		out = append(out, FamilyInfo{name, slices.Clone(m.families[name].Versions)})
	}
	return out
}

// Specs returns all registered types, sorted by family and type.
func (m *Mux) Specs() []Spec {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Spec
	for _, name := range slices.Sorted(maps.Keys(m.families)) {
		types := m.families[name].types
		for _, t := range slices.Sorted(maps.Keys(types)) {
			out = append(out, types[t].Spec)
		}
	}
	return out
}

// register adds a type. A spec that breaks a rule, or a type that exists, is an error.
func (m *Mux) register(s Spec, serve func(context.Context, *exchange) error) error {
	if err := s.validate(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining {
		return errors.New("register: the mux has stopped")
	}
	if owner := m.owner(s.Request); owner != "" {
		return fmt.Errorf("register: type %s is registered in family %s already", s.Request, owner)
	}
	f := m.families[s.Family.Name]
	if f == nil {
		f = &family{Family: s.Family, types: make(map[Type]*entry)}
		m.families[s.Family.Name] = f
		m.listen(f)
	} else if !slices.Equal(f.Versions, s.Family.Versions) || f.Greeting != s.Family.Greeting {
		return fmt.Errorf("register: type %s: family %s has versions %v and greeting %q, not %v and %q",
			s.Request, f.Name, f.Versions, f.Greeting, s.Family.Versions, s.Family.Greeting)
	}
	f.types[s.Request] = &entry{s, serve}
	return nil
}

// unregister takes a type back. Its family stays.
func (m *Mux) unregister(s Spec) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.families[s.Family.Name]; f != nil {
		delete(f.types, s.Request)
	}
}

// owner returns the family that a type is registered in; m.mu is held.
func (m *Mux) owner(t Type) string {
	for name, f := range m.families {
		if f.types[t] != nil {
			return name
		}
	}
	return ""
}

// lookup returns the handler of a type that came over a stream of family f.
func (m *Mux) lookup(f *family, t Type) (*entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := f.types[t]; e != nil {
		return e, nil
	}
	if owner := m.owner(t); owner != "" {
		return nil, Errorf(CodeInvalid, "type %s belongs to family %s, this stream is of family %s", t, owner, f.Name)
	}
	return nil, Errorf(CodeUnsupported, "type %q is not known here", t)
}

// takesUploads reports whether a request of f may be followed by raw bytes.
func (m *Mux) takesUploads(f *family) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range f.types {
		if e.Shape == ShapeUpload {
			return true
		}
	}
	return false
}

func (m *Mux) listen(f *family) {
	for _, v := range f.Versions {
		ours := f.protocolID(v)
		m.host.SetStreamHandlerMatch(ours, func(theirs protocol.ID) bool { return f.matches(ours, theirs) },
			func(s network.Stream) { m.serveStream(f, s) })
	}
}
