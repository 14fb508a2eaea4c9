// Package reload is what a node that runs does at SIGHUP: it reads its configuration file again, takes
// over what can change while it runs, and says in the log what cannot.
package reload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/process"
	"github.com/seed-b490fa12/swarm/internal/settings"
)

// Node is a node that runs, and how it takes over what has changed.
type Node struct {
	Running *cobra.Command // the command that runs it
	Log     *slog.Logger
	// Fresh declares the flags of the command anew, for variables of their own. It returns, by the name
	// of a flag, what takes over its value. All other flags need a restart.
	Fresh func(*pflag.FlagSet) (take map[string]func() error)
	// Files reads the files again that are no settings, such as the policy; nil if there are none. It
	// comes last.
	Files func() error
}

// OnHangup reloads at each SIGHUP until ctx ends.
func (n Node) OnHangup(ctx context.Context) { process.OnHangup(ctx, n.reload) }

// reload takes over what has changed. What cannot be read changes nothing.
func (n Node) reload() {
	took, later, err := n.settings()
	if n.Files != nil {
		err = errors.Join(err, n.Files())
	}
	if err != nil {
		n.Log.Error("not all was taken over", "err", err)
	}
	n.Log.Info("the settings were read again", "changed", took)
	if len(later) > 0 {
		n.Log.Warn("these settings have changed and need a restart", "settings", later)
	}
}

// settings takes over those that have changed and can be taken over, and returns the names of these and
// of the others.
func (n Node) settings() (took, later []string, err error) {
	fresh := pflag.NewFlagSet("", pflag.ContinueOnError)
	take := n.Fresh(fresh)
	changed, err := settings.Again(n.Running, fresh)
	if err != nil {
		return nil, nil, fmt.Errorf("the settings stay as they were: %w", err)
	}
	var errs []error
	for _, name := range changed {
		do, ok := take[name]
		if !ok {
			later = append(later, name)
			continue
		}
		if err := do(); err != nil {
			errs = append(errs, fmt.Errorf("--%s stays as it was: %w", name, err))
			continue
		}
		took = append(took, name)
		errs = append(errs, settings.Took(n.Running, fresh, name))
	}
	return took, later, errors.Join(errs...)
}
