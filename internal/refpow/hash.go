package refpow

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
)

// batch is how many nonces are tried between two looks at the board: a few milliseconds of work.
const batch = 1 << 13

// work is a job as the threads need it.
type work struct {
	job        stratum.Job
	target     stratum.Target
	extranonce stratum.Extranonce
	next       atomic.Uint64 // the next extranonce2 nobody has tried
	found      chan<- share  // to the session the job came from
}

// share is a nonce that meets the target.
type share struct {
	work        *work
	extranonce2 []byte
	nonce       uint32
}

// nextExtranonce2 gives each thread its own part of the work.
func (w *work) nextExtranonce2() []byte {
	b := make([]byte, max(8, w.extranonce.Size2))
	binary.BigEndian.PutUint64(b[len(b)-8:], w.next.Add(1)-1)
	return b[len(b)-w.extranonce.Size2:]
}

// board shows the work of the moment to all threads. The zero value shows none.
type board struct {
	mu      sync.Mutex
	work    *work         // guarded by mu
	changed chan struct{} // guarded by mu: closed by the next post
}

func (b *board) post(w *work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.work = w
	if b.changed != nil {
		close(b.changed)
	}
	b.changed = make(chan struct{})
}

func (b *board) look() (w *work, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.work, b.changed
}

// hash is one thread: it works on what the board shows until ctx ends.
func (r *rig) hash(ctx context.Context) {
	for ctx.Err() == nil {
		w, changed := r.board.look()
		if w != nil {
			r.search(ctx, w, changed)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// search tries all nonces of one extranonce2, or fewer when the board changes.
func (r *rig) search(ctx context.Context, w *work, changed <-chan struct{}) {
	extranonce2 := w.nextExtranonce2()
	header := w.job.Header(w.extranonce.First, extranonce2)
	for first := uint64(0); first < 1<<32; first += batch {
		for n := first; n < first+batch; n++ {
			if h := header.Hash(uint32(n)); w.target.Met(&h) {
				w.report(ctx, share{w, extranonce2, uint32(n)}, changed)
			}
		}
		r.hashes.Add(batch)
		select {
		case <-changed:
			return
		case <-ctx.Done():
			return
		default:
		}
	}
}

// report hands a share to the session, unless nobody wants it any more.
func (w *work) report(ctx context.Context, s share, changed <-chan struct{}) {
	select {
	case w.found <- s:
	case <-changed:
	case <-ctx.Done():
	}
}
