package ops

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-b490fa12/swarm/streams"
)

// completed fills in what a request to replace leaves out, by what runs. A request for another miner,
// or for a workload that does not run, stays as it is.
func completed(s *Service, req StartRequest) (StartRequest, error) {
	if !req.Replace {
		return req, nil
	}
	w, err := replaced(s, req)
	if e, ok := errors.AsType[*streams.Error](err); ok && e.Code == streams.CodeNotFound {
		return req, streams.Errorf(streams.CodeNotFound, "%s: name the miner to start", e.Message)
	}
	if err != nil || w == nil {
		return req, err
	}
	old, runs := w.miner()
	if !runs || req.Miner != "" && req.Miner != old.kind() {
		if req.Miner == "" {
			return req, streams.Errorf(streams.CodeNotFound, "%s does not run here: name the miner to start", w.name)
		}
		return req, nil
	}
	return old.complete(req), nil
}

// miner returns the miner that runs.
func (w *workload) miner() (j minerJob, runs bool) {
	if r := w.current(); r != nil {
		j, runs = r.job.(minerJob)
	}
	return j, runs
}

// complete fills in what a request to replace j leaves out.
func (j minerJob) complete(req StartRequest) StartRequest {
	old := j.spec
	if req.Password == "" && (req.Pool == "" || req.Pool == old.Pool) { // it is no secret for another pool
		req.Password = old.Password
	}
	if req.Threads == 0 && req.Profile == "" {
		req.Threads = old.Threads
	}
	if len(req.Config) == 0 {
		req.Config = old.Config
	}
	req.Miner, req.Name = j.kind(), old.Name
	req.Algorithm, req.Pool, req.Wallet = cmp.Or(req.Algorithm, old.Algorithm), cmp.Or(req.Pool, old.Pool), cmp.Or(req.Wallet, old.Wallet)
	return req
}

// replaced is the workload that a request to replace means; nil where there is none of that name.
func replaced(s *Service, req StartRequest) (*workload, error) {
	name := cmp.Or(req.Name, req.Miner)
	if name == "" {
		return onlyRunning(s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workloads[name]
	if w == nil && req.Miner == "" {
		return nil, streams.Errorf(streams.CodeNotFound, "no workload %q to replace; there are: %s", name, cmp.Or(s.names(), "none"))
	}
	return w, nil
}

// onlyRunning is the one workload that runs.
func onlyRunning(s *Service) (*workload, error) {
	up := running(s)
	switch len(up) {
	case 0:
		return nil, streams.Errorf(streams.CodeNotFound, "no workload runs here")
	case 1:
		return up[0], nil
	}
	return nil, severalRun(up)
}

func severalRun(running []*workload) error {
	names := make([]string, len(running))
	for i, w := range running {
		names[i] = w.name
	}
	slices.Sort(names)
	return streams.Errorf(streams.CodeInvalid, "several workloads run here: name one of %s", strings.Join(names, ", "))
}

// allWorkloads are the workloads that were ever started.
func allWorkloads(s *Service) []*workload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.workloads))
}

// running are the workloads that run, or wait for their next process.
func running(s *Service) (out []*workload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workloads {
		if w.current() != nil {
			out = append(out, w)
		}
	}
	return out
}

// replace ends a run and begins another one in its place. Where that does not come up the old one runs
// on. The caller has the turn.
func (w *workload) replace(ctx context.Context, old *run, j job) error {
	old.cancel()
	if err := wait(ctx, old.done); err != nil {
		return err
	}
	err := w.begin(ctx, j)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if again := w.begin(ctx, old.job); again != nil {
		return errors.Join(err, fmt.Errorf("start the old one again: %w", again))
	}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return streams.Errorf(e.Code, "%s; %s runs with its old settings again", e.Message, w.name)
	}
	return err
}
