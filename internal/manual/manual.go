// Package manual writes the pages for man(1): one for each command, from its help.
package manual

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Write writes the pages of root and the commands below it into dir, which exists. Pages of the same
// program are the same, letter for letter.
func Write(root *cobra.Command, dir, version string, date time.Time) error {
	root.DisableAutoGenTag = true
	each(root, func(cmd *cobra.Command) {
		cmd.Long, cmd.Example = plain(cmd.Long), strings.TrimRight(cmd.Example, "\n")
	})
	header := doc.GenManHeader{Section: "1", Source: "swarm " + version, Manual: "swarm", Date: &date}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return fmt.Errorf("write the pages: %w", err)
	}
	return nil
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, do)
	}
}

// plain keeps text from being read as Markdown, which the pages are made from.
func plain(text string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "`", "\\`").Replace(text)
}
