package agent

import (
	"context"

	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/policy"
	"github.com/seed-b490fa12/swarm/ops"
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

// policed asks the owner's policy before a deployment.
type policed struct {
	file *policy.File
	to   deploy.Receiver
}

func (p policed) Apply(ctx context.Context, m deploy.Manifest, body io.Reader) (deploy.Ack, error) {
	if err := p.file.Policy().CheckDeploy(m.Name, m.Room()); err != nil {
		return deploy.Ack{}, streams.Errorf(streams.CodeRefused, "%v", err)
	}
	return p.to.Apply(ctx, m, body)
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
		return err
	}
	w.warnCaps()
	w.audit.Note(audit.KindPolicy, "", "the policy was read: "+w.policy.Policy().Status().String())
	return nil
}

// warnCaps says which caps of the policy nothing enforces yet.
func (w *Worker) warnCaps() {
	for _, unkept := range w.policy.Policy().Status().Unenforced {
		w.log.Warn("a cap of the policy is not enforced by this version", "cap", unkept)
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
