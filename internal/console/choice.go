package console

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choosing returns which of the flags that choose machines are set.
func choosing(cmd *cobra.Command) (set []string) {
	for _, name := range []string{"all", "on", "best"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && choosesMachines(cmd) {
			set = append(set, name)
		}
	}
	return set
}

// choosesMachines reports whether the flags --all, --on and --best of a command choose machines.
func choosesMachines(cmd *cobra.Command) bool { return cmd.Flags().Lookup("best") != nil }

// tellChoice tells the person which flags that choose machines were set by the environment or the
// configuration file: nobody sees them on the command line. before are those that were.
func tellChoice(e *Env, cmd *cobra.Command, before []string) {
	for _, name := range choosing(cmd) {
		if slices.Contains(before, name) {
			continue
		}
		source := "SWARM_" + strings.ToUpper(name)
		if os.Getenv(source) == "" {
			source = "the configuration file"
		}
		e.Stderr.Printf("swarm: --%s=%s is set by %s\n", name, cmd.Flags().Lookup(name).Value, source)
	}
}
