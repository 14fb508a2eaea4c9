package audit

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// RecorderConfig says what a [Recorder] keeps, and where.
type RecorderConfig struct {
	// Dir is where the log is kept, see [Dir].
	Dir string
	// Audits reports whether a request that only reads has an entry too.
	Audits func(streams.Type) bool
	// Often reports whether a request with an effect comes so often that it stands where the reads do:
	// the first one of a peer in a minute, and each with another summary. Nil: none does.
	Often func(streams.Type) bool
	// Name returns what the owner calls a peer; "" where it has no name.
	Name func(peer.ID) string
	// Logger gets what cannot be written; nil is silent.
	Logger *slog.Logger
}

// Recorder writes what is done on this worker, by whom, before it is done.
type Recorder struct {
	dir     string
	audits  func(streams.Type) bool
	often   func(streams.Type) bool
	name    func(peer.ID) string
	log     *slog.Logger
	entries *Log  // nil when it cannot be opened
	broken  error // why
	counts  *Counters

	reading sync.Mutex // guards what follows
	reads   *Log       // who read logs; nil when it cannot be opened
	minute  int64
	readers map[reader]bool // who has a line of this minute
}

// reader is one who reads logs, or the audit log itself.
type reader struct {
	peer    peer.ID
	what    streams.Type
	summary string // of what comes often
}

// readSegments caps the log of who read logs, in MiB.
const readSegments = 4

// OpenRecorder opens the worker's log. A log that cannot be opened refuses all that
// has an effect, and lets the rest go on.
func OpenRecorder(cfg RecorderConfig) *Recorder {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Often == nil {
		cfg.Often = func(streams.Type) bool { return false }
	}
	r := &Recorder{dir: cfg.Dir, audits: cfg.Audits, often: cfg.Often, name: cfg.Name, log: cfg.Logger}
	r.entries, r.broken = Open(Config{Dir: cfg.Dir, Logger: cfg.Logger})
	if r.broken != nil {
		r.log.Error("the audit log cannot be written, so nothing that has an effect will be done", "err", r.broken)
	}
	var err error
	r.reads, err = Open(Config{Dir: readsDir(cfg.Dir), Segments: readSegments, Logger: cfg.Logger})
	if err != nil {
		r.log.Warn("who reads logs is not recorded", "err", err)
		r.reads = nil
	}
	r.counts, err = OpenCounters(CountersConfig{Dir: cfg.Dir, Logger: cfg.Logger})
	if err != nil {
		r.log.Warn("refusals are not counted", "err", err)
		r.counts = nil
	}
	return r
}

// Close writes what is left.
func (r *Recorder) Close() error {
	var err error
	if r.counts != nil {
		err = r.counts.Close()
	}
	for _, l := range []*Log{r.entries, r.reads} {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}

// Run writes the counts now and then, until ctx ends.
func (r *Recorder) Run(ctx context.Context) error {
	if r.counts == nil {
		return nil
	}
	return r.counts.Run(ctx)
}

// Record is a streams.Config.Record: an entry is on the disk before an effect, and
// before an audited read.
func (r *Recorder) Record(ctx context.Context, req streams.Audited) (func(error), error) {
	effect := req.Verb.HasEffect()
	if !effect && !r.audits(req.Type) {
		return nil, nil
	}
	e := Entry{
		Kind: KindCommand, Peer: req.Peer.ID.String(), Name: r.name(req.Peer.ID), Verb: string(req.Verb), Type: string(req.Type),
		ID: req.ID.String(), Summary: clip(req.Summary(), MaxSummary), Result: ResultBegun,
	}
	if !effect {
		e.Kind, e.Result = KindLogRead, ""
		r.recordRead(ctx, reader{peer: req.Peer.ID, what: req.Type}, e)
		return nil, nil
	}
	if r.often(req.Type) {
		return nil, r.recordRead(ctx, reader{req.Peer.ID, req.Type, e.Summary}, e)
	}
	if r.entries == nil {
		return nil, r.broken
	}
	if err := r.append(ctx, e); err != nil {
		return nil, err
	}
	return func(err error) {
		e.Summary, e.Result = "", "ok"
		if err != nil {
			code := strconv.Itoa(int(streams.CodeOf(err)))
			e.Result = clip(code+" "+strings.TrimPrefix(oneLine(err.Error()), code+": "), MaxWord)
		}
		r.append(context.WithoutCancel(ctx), e)
	}, nil
}

// append writes an entry. The log gets the error, too.
func (r *Recorder) append(ctx context.Context, e Entry) error {
	_, err := r.entries.Append(ctx, e)
	if err != nil {
		r.log.Error("the audit log cannot be written", "err", err)
	}
	return err
}

// recordRead writes that one reads logs: the first time in a minute, because more
// lines would only push out those of others. An error means that there is no such line.
func (r *Recorder) recordRead(ctx context.Context, by reader, e Entry) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	if now := time.Now().Truncate(time.Minute).UnixMilli(); now != r.minute {
		r.minute, r.readers = now, make(map[reader]bool)
	}
	switch {
	case r.reads == nil:
		return errors.New("the log of reads cannot be opened")
	case r.readers[by]:
		return nil
	}
	if _, err := r.reads.Append(ctx, e); err != nil {
		r.log.Error("the audit log cannot be written", "err", err)
		return err
	}
	r.readers[by] = true
	return nil
}

// Head returns the end of the log.
func (r *Recorder) Head() Head {
	if r.entries == nil {
		return Head{}
	}
	return r.entries.Head()
}

// Note records what concerns this machine itself or its rights; p may be empty.
func (r *Recorder) Note(kind Kind, p peer.ID, words string) {
	if r.entries == nil {
		return
	}
	e := Entry{Kind: kind, Summary: clip(words, MaxSummary)}
	if p != "" {
		e.Peer, e.Name = p.String(), r.name(p)
	}
	r.append(context.Background(), e)
}

// Observe is a streams.Config.Observe: it counts the requests that were refused.
func (r *Recorder) Observe(o streams.Outcome) {
	if !o.Inbound || r.counts == nil {
		return
	}
	switch streams.CodeOf(o.Err) {
	case streams.CodeUnauthenticated, streams.CodeForbidden, streams.CodeTooMany:
		r.counts.Add(o.Peer.String())
	}
}

// clip cuts a text to so many bytes of UTF-8.
func clip(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
