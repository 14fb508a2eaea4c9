// Package cpcli is the command that copies files: what a person types, and what is told.
package cpcli

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// answerWithin is how long the machine may take to answer, where nobody says anything else.
const answerWithin = 30 * time.Second

// New returns the command.
func New(e *console.Env) *cobra.Command {
	var (
		r       connect.Reach
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:        "cp SOURCE NAME:DESTINATION | NAME:SOURCE DESTINATION",
		SuggestFor: []string{"copy", "scp", "rsync", "sync", "get", "put", "push", "pull", "download", "upload", "send", "receive"},
		Short:      "Copy files and directories to a machine, or from it",
		Long: `Copy a file or a directory with all that is in it, between this machine and another one. The owner there
has listed the directories that may be copied from and to: swarm worker --enable cp=/srv, or with swarm join.

DESTINATION is a directory that the copy goes into, or else what it is called; with a slash at its end it
has to be a directory, if a file is copied. The contents of a directory alone are DIRECTORY/. and go into
DESTINATION itself. A path of the machine that does not begin at its root begins at the directory that its
owner has listed.

Files that are there are replaced, each at once; those that are the same already are not sent, and nothing is
removed. Modes and times are kept; owners, set-user-ID bits, extended attributes and hard links are not, and
holes come out as such. Symbolic links, devices, pipes and sockets are left out, and counted.

A file has its name when it is whole, and its SHA-256 is that of the source; until then it is called
.NAME.swarm-part, and so is a new directory. When the connection is lost, the copy goes on over the next one.
After Ctrl-C the same command goes on where it was.

With --json there is a line for each file, {"event":"file","file":"a/b","state":"copied",…}, and a last one
with the sum.`,
		Example: `  swarm cp ./app.conf rig-01:/srv/app/         # into the directory
  swarm cp rig-01:/srv/logs ./logs             # all of a directory
  swarm cp ./site/. rig-01:/srv/www            # what is in site
  swarm cp rig-01:app.log .                    # from the directory that its owner has listed`,
		Args: cpArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			y, err := Parse(args[0], args[1])
			if err != nil {
				return err
			}
			if y.Sends { // before anybody is asked
				if _, err := os.Stat(y.Local); err != nil {
					return err
				}
			}
			c, err := r.Commander(cmd.Context(), e)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			y.Timeout = e.Within(timeout)
			view := NewView(e, y)
			err = c.Copy(cmd.Context(), y, view.Show)
			view.Bar.Clear()
			return errors.Join(err, view.Outcome(cmd.Context()))
		},
	}
	r.Flags(cmd.Flags())
	span.Var(cmd.Flags(), &timeout, "timeout", answerWithin, "how long the machine may take to answer")
	return cmd
}

func cpArgs(_ *cobra.Command, args []string) error {
	switch {
	case len(args) < 2:
		return errors.New("copy what, and where to? " + forms)
	case len(args) > 2:
		return errors.New("one source and one destination; to copy several, copy the directory that they are in")
	}
	return nil
}
