package connect

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/selector"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// OnFlag declares the --on of commands that work on what this machine has saved.
func OnFlag(f *pflag.FlagSet, on *string) {
	usage.Group(f, usage.Machines, func(f *pflag.FlagSet) {
		f.Var(selector.Value{Text: on}, "on", "only machines whose labels fit a `SELECTOR`, as of: swarm stats --on; may be "+
			"repeated, and all must fit")
	})
}

// Fitting returns those whose labels fit; that none fits is an error.
func Fitting[T any](on string, all []T, labels func(T) map[string]string) (out []T, err error) {
	s, err := selector.Parse(on)
	if err != nil || on == "" {
		return all, err
	}
	var known []map[string]string
	for _, m := range all {
		known = append(known, labels(m))
		if s.Match(labels(m)) {
			out = append(out, m)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	why := s.Missed(known)
	if why != "" {
		why = ": " + why
	}
	return nil, fmt.Errorf("no machine has the labels %s%s", on, why)
}
