// Package complete fills in the values of a command line that a shell asks for: machines, labels,
// rights, roles, miners; and names of files only where a file is wanted.
package complete

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// Words are the values that do not depend on what this machine knows, by the flag that takes them.
type Words map[string][]string

// lists are the flags that take several values, separated by commas.
func lists() []string { return []string{"verbs", "issue", "enable", "reissue", "on"} }

// Install completes the arguments and flags of root and the commands below it, which are all there
// already.
func Install(root *cobra.Command, e *console.Env, words Words) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	c := completer{e, words}
	each(root, func(cmd *cobra.Command) {
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = c.arguments(cmd)
		}
		register := func(f *pflag.Flag) {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, c.flag(f)) // fails for a flag of all operations, which has one
		}
		cmd.LocalNonPersistentFlags().VisitAll(register)
		cmd.PersistentFlags().VisitAll(register)
	})
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, do)
	}
}

type completer struct {
	env   *console.Env
	words Words
}

var (
	machine = regexp.MustCompile(`^[a-z]+ \[?(TARGET|NAME\||NAME\])`)
	several = regexp.MustCompile(`…`)
)

// arguments completes the arguments of a command by what its usage says of them.
func (c completer) arguments(cmd *cobra.Command) cobra.CompletionFunc {
	file := strings.Contains(cmd.Use, "BUNDLE") || strings.Contains(cmd.Use, "FILE")
	machines := machine.MatchString(cmd.Use)
	return func(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var out []string
		if machines && (len(args) == 0 || several.MatchString(cmd.Use)) {
			out = fit(c.names(), args, typed)
		}
		if file {
			return out, cobra.ShellCompDirectiveDefault
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// flag completes the value of a flag, by its name or by what its usage says it takes.
func (c completer) flag(f *pflag.Flag) cobra.CompletionFunc {
	takes, _ := pflag.UnquoteUsage(f)
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch {
		case f.Name == "via" || f.Name == "from" || f.Name == "reissue":
			return c.values(f, c.names(), typed)
		case f.Name == "on" || f.Name == "label":
			return c.values(f, c.labels(f.Name == "on"), typed)
		case takes == "FILE" || takes == "PATH" || strings.Contains(f.Usage, "@FILE"):
			return nil, cobra.ShellCompDirectiveDefault
		case takes == "DIR":
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return c.values(f, c.words.of(cmd, f.Name), typed)
	}
}

// of returns the words for a flag of a command: "join role" before "role".
func (w Words) of(cmd *cobra.Command, flag string) []string {
	if words, ok := w[cmd.Name()+" "+flag]; ok {
		return words
	}
	return w[flag]
}

// values returns the words that fit; of a list the last one is completed.
func (c completer) values(f *pflag.Flag, words []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	before := ""
	if i := strings.LastIndex(typed, ","); i >= 0 && slices.Contains(lists(), f.Name) {
		before, typed = typed[:i+1], typed[i+1:]
	}
	out := fit(words, strings.Split(before, ","), typed)
	directive := cobra.ShellCompDirectiveNoFileComp
	for i := range out {
		out[i] = before + out[i]
		if strings.HasSuffix(out[i], "=") {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
	}
	return out, directive
}

// fit returns the words that begin so, without those that are there already.
func fit(words, but []string, typed string) (out []string) {
	for _, w := range words {
		if strings.HasPrefix(w, typed) && !slices.Contains(but, w) {
			out = append(out, w)
		}
	}
	return out
}

// saved returns the machines in the address book; none where there is no controller.
func (c completer) saved() []book.Entry {
	dir, err := c.env.StateDir(agent.RoleController)
	if err != nil || !console.HasIdentity(dir) {
		return nil
	}
	b, err := book.Open(book.Dir(dir), c.env.Log)
	if err != nil {
		return nil
	}
	return b.All()
}

// members returns those of the fleet of the controller here; none where there is none.
func (c completer) members() []trust.Member {
	dir, err := c.env.StateDir(agent.RoleController)
	if err != nil || !console.HasIdentity(dir) || !console.InFleet(dir) {
		return nil
	}
	f, err := fleetdir.Open(dir, nil, c.env.Log)
	if err != nil || f == nil {
		return nil
	}
	return f.Members()
}

// names returns the names that the owner gave to machines, saved or of the fleet.
func (c completer) names() []string {
	set := make(map[string]bool)
	for _, m := range c.members() {
		set[m.Grant.Name] = true
	}
	for _, m := range c.saved() {
		if m.Name != "" {
			set[m.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// labels returns the labels there are, as key=value, and the keys alone where that means something.
func (c completer) labels(keys bool) []string {
	set := make(map[string]bool)
	add := func(labels map[string]string) {
		for k, v := range labels {
			set[k+"="+v] = true
			if keys {
				set[k] = true
			}
		}
	}
	for _, m := range c.members() {
		add(m.Grant.Labels)
	}
	for _, m := range c.saved() {
		add(m.Labels)
	}
	return slices.Sorted(maps.Keys(set))
}
