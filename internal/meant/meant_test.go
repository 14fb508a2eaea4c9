package meant

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// newProgram returns a small program; its commands do nothing.
func newProgram() *cobra.Command {
	do := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "swarm", SilenceErrors: true, SilenceUsage: true, RunE: do}
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return Command(cmd, args[0])
	}
	start := &cobra.Command{Use: "start [TARGET…]", SuggestFor: []string{"start_miner"}, RunE: do}
	start.Flags().String("miner", "", "")
	start.Flags().Int("threads", 0, "")
	start.Flags().Bool("wait", false, "")
	rename := &cobra.Command{Use: "rename NAME NEW", Args: cobra.ExactArgs(2), RunE: do}
	controller := &cobra.Command{Use: "controller", RunE: do}
	controller.AddCommand(&cobra.Command{Use: "exec OPERATION", RunE: do}, &cobra.Command{Use: "watch", RunE: do})
	root.AddCommand(start, rename, controller, &cobra.Command{Use: "members", Aliases: []string{"m"}, RunE: do},
		&cobra.Command{Use: "secret", Hidden: true, RunE: do})
	Install(root)
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	return root
}

func TestMistakes(t *testing.T) {
	for args, want := range map[string]string{
		"memebers":             `unknown command "memebers" for "swarm" (did you mean swarm members?); see: swarm --help`,
		"exec":                 "(did you mean swarm controller exec?)",
		"start-miner":          "(did you mean swarm start?)",
		"START":                "(did you mean swarm start?)",
		"strat rig-01 --miner": "(did you mean swarm start?)", // and nothing of --miner
		"secre":                `unknown command "secre" for "swarm"; see`,
		"nonsense":             `unknown command "nonsense" for "swarm"; see`,
		"start --minr x":       "--minr is not for start (did you mean --miner?); see: swarm start --help",
		"start --nonsense":     "--nonsense is not for start; see: swarm start --help",
		"start -x":             "-x is not for start; see",
		"start --threads many": `--threads "many": want a whole number`,
		"start --wait=perhaps": `--wait "perhaps": want true or false`,
		"start --miner":        "flag needs an argument: --miner; see: swarm start --help",
		"rename":               "something is missing; usage: swarm rename NAME NEW",
		"rename a":             "something is missing; usage: swarm rename NAME NEW",
		"rename a b c":         `"c" is too much; usage: swarm rename NAME NEW`,
	} {
		root := newProgram()
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("swarm %s: got %v, want %q", args, err, want)
		}
	}
	root := newProgram()
	root.SetArgs([]string{"rename", "a", "b"})
	if err := root.Execute(); err != nil {
		t.Error(err)
	}
}

func TestValue(t *testing.T) {
	f := newProgram().Commands()
	for _, c := range f {
		if c.Name() != "start" {
			continue
		}
		miner := c.Flags().Lookup("miner")
		if got := Value("--miner", miner, "x", errors.New("there is none")).Error(); got != `--miner "x": there is none` {
			t.Errorf("got %s", got)
		}
		if got := Value("--miner", miner, "x", errors.New(`"x": there is none`)).Error(); got != `--miner "x": there is none` {
			t.Errorf("a value is told twice: %s", got)
		}
	}
}
