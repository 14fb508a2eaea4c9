package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Again sets fresh, flags like those of a command that runs and which nobody has set, to what is in force
// now: what the command line and the environment said stays, and the configuration file is read again.
// Flags that fresh does not have are left out. It returns the names of those whose values have changed.
func Again(running *cobra.Command, fresh *pflag.FlagSet) (changed []string, err error) {
	file, err := readConfig(running.Flag("config").Value.String(), running.Root())
	if err != nil {
		return nil, err
	}
	var errs []error
	running.Flags().VisitAll(func(f *pflag.Flag) {
		g := fresh.Lookup(f.Name)
		if g == nil || noSetting(f) {
			return
		}
		if err := setAgain(f, g, file); err != nil {
			errs = append(errs, err)
		} else if !slices.Equal(valuesOf(f), valuesOf(g)) {
			changed = append(changed, f.Name)
		}
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return changed, nil
}

// setAgain sets g to what f, which runs, would be set to now.
func setAgain(f, g *pflag.Flag, file configFile) error {
	from := strings.Join(f.Annotations[origin], "")
	byPerson := f.Changed && (from == "" || strings.HasPrefix(from, "environment "))
	if byPerson {
		g.Annotations = map[string][]string{origin: f.Annotations[origin]}
		return copyValue(f, g)
	}
	err := file.apply(g)
	if g.Changed {
		g.Annotations = map[string][]string{origin: {fmt.Sprintf("%s:%d", file.path, file.values[f.Name].line)}}
	}
	return err
}

// copyValue gives g the value of f.
func copyValue(f, g *pflag.Flag) error {
	g.Changed = true
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return g.Value.(pflag.SliceValue).Replace(list.GetSlice())
	}
	return g.Value.Set(f.Value.String())
}

// Took notes that a command which runs has taken over the value of a flag of fresh.
func Took(running *cobra.Command, fresh *pflag.FlagSet, name string) error {
	f, g := running.Flag(name), fresh.Lookup(name)
	err := copyValue(g, f)
	f.Changed, f.Annotations = g.Changed, g.Annotations
	return err
}
