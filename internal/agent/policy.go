package agent

import (
	"context"
	"errors"

	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/policy"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/ops/miner/xmrig"
	"github.com/seed-b490fa12/swarm/streams"
)

func policyPath(stateDir string) string { return filepath.Join(stateDir, policy.FileName) }

// WritePolicy adds what the owner enables to the policy file of a worker, which is
// made if it is missing.
func WritePolicy(stateDir string, enable []string) error {
	p, err := policy.Load(policyPath(stateDir))
	if err == nil {
		err = p.Enable(enable...)
	}
	if err == nil {
		err = checkMiners(p)
	}
	if err == nil {
		err = p.Write(policyPath(stateDir))
	}
	return err
}

// checkMiners refuses the name of a miner that there is not: most often a typing
// error.
func checkMiners(p policy.Policy) error {
	var known []string
	for _, a := range adapters("", xmrig.Config{}) {
		known = append(known, a.Name())
	}
	for _, m := range p.Miners {
		if !slices.Contains(known, m) {
			return fmt.Errorf("%w: there is no miner %q; there are: %s", policy.ErrInvalid, m, strings.Join(known, ", "))
		}
	}
	return nil
}

// policed asks the owner's policy before a deployment, and for as long as it comes in.
type policed struct {
	file *policy.File
	to   deploy.Receiver
}

func (p policed) Receive(ctx context.Context, by peer.ID, r deploy.Request, body io.Reader) (deploy.Ack, error) {
	check := func() error {
		if err := p.file.Policy().CheckDeploy(r.Manifest.Name, r.Manifest.Room()); err != nil {
			return streams.Errorf(streams.CodeRefused, "%v", err)
		}
		return nil
	}
	if err := check(); err != nil {
		return deploy.Ack{}, err
	}
	return p.to.Receive(ctx, by, r, policedBody{body, check})
}

// policedBody is what comes in of a deployment, for as long as the owner allows it.
type policedBody struct {
	io.Reader
	check func() error
}

func (b policedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if no := b.check(); no != nil {
		return 0, no
	}
	return n, err
}

// CloseRead ends a read under way: see streams.Upload.
func (b policedBody) CloseRead() error {
	if c, ok := b.Reader.(interface{ CloseRead() error }); ok {
		return c.CloseRead()
	}
	return nil
}

// openPolicy reads the owner's policy, with what is enabled for this run.
func openPolicy(stateDir string, enable []string) (*policy.File, error) {
	f, err := policy.Open(policyPath(stateDir), enable...)
	if err != nil {
		return nil, err
	}
	return f, checkMiners(f.Policy())
}

func opsPolicy(f *policy.File) func() ops.Policy {
	return func() ops.Policy { return f.Policy() }
}

// ReloadPolicy reads the policy file again. When it is not understood, the policy
// stays as it was.
func (w *Worker) ReloadPolicy() error {
	if err := w.policy.Reload(); err != nil {
		return fmt.Errorf("the policy stays as it was: %w", err)
	}
	w.warnCaps()
	w.warnMiners(context.Background())
	w.audit.Note(audit.KindPolicy, "", "the policy was read: "+w.policy.Policy().Status().String())
	return nil
}

// warnCaps says which caps of the policy this machine cannot enforce.
func (w *Worker) warnCaps() {
	caps := w.policy.Policy().Status().Limits
	if caps == (policy.Limits{}) {
		return // trying what can be enforced makes cgroups
	}
	means := process.Driver{}.Probe()
	for _, c := range []struct {
		rule string
		set  bool
		by   driver.Means
	}{
		{"caps.cpuPercent", caps.CPUPercent > 0, means.CPU}, {"caps.memoryBytes", caps.MemoryBytes > 0, means.Memory},
		{"caps.processes", caps.Processes > 0, means.Processes},
	} {
		if c.set && c.by.By == "" {
			w.log.Warn("this machine cannot enforce a cap of the policy, and therefore starts no workloads and commands", "cap", c.rule, "why", c.by.Why)
		}
	}
}

// warnMiners says which miners may run here and are not installed.
func (w *Worker) warnMiners(ctx context.Context) {
	allowed := w.policy.Policy().Miners
	for _, a := range w.adapters {
		if !slices.Contains(allowed, a.Name()) {
			continue
		}
		if _, err := a.Detect(ctx); errors.Is(err, miner.ErrNotInstalled) {
			w.log.Warn("a miner may run here and is not installed: install it, or say where it is with --xmrig",
				"miner", a.Name(), "err", err)
		}
	}
}

// MayRun says, in words, what may run here now.
func (w *Worker) MayRun() string {
	s := w.policy.Policy().Status().String()
	if s == "nothing" {
		s += ": enable something, for example with --enable miner=refpow,deploy"
	}
	return s
}

// Fleet returns the names of the worker's fleet and of itself in it; empty in open
// mode.
func (w *Worker) Fleet() (fleet, name string) { return fleetNames(w.fleet) }

func fleetNames(f *trust.Fleet) (fleet, name string) {
	if f == nil {
		return "", ""
	}
	return f.Name(), f.Self().Grant.Name
}

// ReadPolicy reads the policy file of a state directory.
func ReadPolicy(stateDir string) (policy.Status, error) {
	p, err := policy.Load(policyPath(stateDir))
	return p.Status(), err
}
