package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
)

// Exec is that of [Commander]. What outlives a lost connection goes on with the next controller as
// well, when the one that serves ends.
func (r *Remote) Exec(
	ctx context.Context, j agent.Job, s agent.Selection, emit func(agent.Result),
) (agent.Summary, error) {
	x := &execution{job: j, selection: s, emit: emit, open: make(map[peer.ID]*standing)}
	if j.Operation.Shape == streams.ShapeUpload {
		x.job.Transfer = rand.Text()
	}
	err := r.outlive(ctx, func(r *Remote) error {
		err := x.attempt(ctx, r)
		if errors.Is(err, ErrServeEnded) && x.chosen && len(x.open) == 0 { // nothing is left to do
			x.end(agent.Summary{}, x.now)
			return nil
		}
		return err
	}, x.cut)
	if err != nil {
		x.fail(err)
	}
	return x.sum, err
}

// execution is a job that one or several controllers do, one after the other.
type execution struct {
	job       agent.Job
	selection agent.Selection
	emit      func(agent.Result)

	sum    agent.Summary
	done   []error               // of the machines that earlier controllers have finished with
	now    []error               // of those that this one has
	chosen bool                  // all machines are known
	open   map[peer.ID]*standing // those that were asked and are not done
}

// standing is how far a machine is with the job.
type standing struct {
	target agent.Target
	last   jsontext.Value // the last item
	since  time.Time      // of the cut; zero where there is none
}

// attempt has one controller do what is left of the job.
func (x *execution) attempt(ctx context.Context, r *Remote) error {
	req, err := x.request()
	if err != nil {
		return err
	}
	talking := x.talk(&req)
	lines, err := execVerb.ask(ctx, r, req)
	if err != nil && len(req.Resumes) > 0 {
		return ended(ctx, err)
	}
	if err != nil {
		return err
	}
	defer talking.end()
	for l, err := range lines {
		talking.begin(ctx, r) // now the job is known there
		switch {
		case err != nil:
			return err
		case l.Summary != nil:
			x.end(*l.Summary, nil)
			return nil
		case l.Asked != nil:
			if x.open[l.Asked.Peer] == nil {
				x.open[l.Asked.Peer] = &standing{target: *l.Asked}
			}
		case l.Chosen:
			x.chosen = true
		case l.Progress != nil && x.job.Progress != nil:
			x.back(l.Progress.Target.Peer)
			x.job.Progress(l.Progress.Target, l.Progress.Sent, l.Progress.Total)
		case l.Result != nil:
			x.result(*l.Result)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrServeEnded
}

// request asks for the job, or for what is left of it.
func (x *execution) request() (execRequest, error) {
	req := requestOf(x.job, x.selection)
	for _, p := range slices.Sorted(maps.Keys(x.open)) {
		m := resumes{Peer: p}
		if last := x.open[p].last; last != nil {
			var err error
			if m.Payload, err = x.job.Operation.After(x.job.Payload, last); err != nil {
				return req, fmt.Errorf("go on with %s: %w", x.open[p].target.Label(), err)
			}
		}
		req.Resumes = append(req.Resumes, m)
	}
	return req, nil
}

// result passes on what a machine answers, and what becomes of the way to it.
func (x *execution) result(res agent.Result) {
	st := x.open[res.Target.Peer]
	switch {
	case st == nil:
	case res.Event == agent.EventCut:
		if !st.since.IsZero() {
			return // that is known
		}
		st.since = time.Now()
	case res.Event == agent.EventBack:
		res.Away = max(res.Away, time.Since(st.since))
		st.since = time.Time{}
	case res.Err == nil && (len(res.Payload) > 0 || res.Done):
		x.back(res.Target.Peer)
		if res.Feed && len(res.Payload) > 0 {
			st.last = res.Payload
		}
	}
	if res.Done {
		delete(x.open, res.Target.Peer)
		x.now = append(x.now, res.Err)
	}
	x.emit(res)
}

// back says that a machine goes on, if it was cut off.
func (x *execution) back(p peer.ID) {
	if st := x.open[p]; st != nil && !st.since.IsZero() {
		x.emit(agent.Result{Target: st.target, Event: agent.EventBack, Away: time.Since(st.since)})
		st.since = time.Time{}
	}
}

// cut says which machines are cut off, and reports whether the job can go on with another controller.
func (x *execution) cut(why error) bool {
	x.done, x.now = append(x.done, x.now...), nil
	if !x.job.OutlivesCuts() || !x.chosen {
		return false
	}
	for _, p := range slices.Sorted(maps.Keys(x.open)) {
		if st := x.open[p]; st.since.IsZero() {
			st.since = time.Now()
			x.emit(agent.Result{Target: st.target, Event: agent.EventCut, Why: why.Error()})
		}
	}
	return true
}

// end counts what came of all machines: those in sum, and the others.
func (x *execution) end(sum agent.Summary, others []error) {
	x.sum = sum
	for _, err := range append(x.done, others...) {
		x.sum.Add(err)
	}
}

// fail ends the job on the machines that are not done, where their answers have an end of their own.
func (x *execution) fail(why error) {
	if !x.job.OutlivesCuts() {
		return
	}
	for _, p := range slices.Sorted(maps.Keys(x.open)) {
		x.emit(agent.Result{
			Target: x.open[p].target, Type: x.job.Operation.Reply, Err: why, Done: true,
			Feed: x.job.Operation.Shape == streams.ShapeFeed,
		})
	}
}
