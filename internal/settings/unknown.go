package settings

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/nearest"
)

// UnknownVariables says of each environment variable SWARM_… that is no setting so, and which one may
// be meant. Others are the names of variables that are none of a flag. What Kubernetes gives to a
// container beside a service called swarm, and what our tests use, is left alone.
func UnknownVariables(root *cobra.Command, others ...string) (words []string) {
	names := slices.Clone(others)
	for flag, known := range allFlags(root) {
		if known || flag == "config" {
			names = append(names, envName(flag))
		}
	}
	slices.Sort(names)
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "SWARM_") || slices.Contains(names, name) || ofOthers(name) {
			continue
		}
		words = append(words, fmt.Sprintf("the environment variable %s is no setting%s", name, nearest.Hint(name, names)))
	}
	slices.Sort(words)
	return words
}

// ofOthers reports whether a variable is not meant for this program.
func ofOthers(name string) bool {
	return name == "SWARM_PORT" || strings.HasPrefix(name, "SWARM_PORT_") || strings.HasPrefix(name, "SWARM_SERVICE_") ||
		strings.HasPrefix(name, "SWARM_TEST_")
}
