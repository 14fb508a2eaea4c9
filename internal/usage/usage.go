// Package usage prints the help of commands: 80 columns wide, commands and flags in groups, and the
// flags that all commands share at the end.
package usage

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Width is how many columns the help takes.
const Width = 80

// Groups of flags; those in none are the command's own.
const (
	Machines = "Machine Flags" // which machines a command is for
	Network  = "Network Flags" // how they are reached
	Global   = "Global Flags"  // of all commands
)

const annotation = "swarm_group"

// Group declares flags that are shown together, under a title of their own.
func Group(f *pflag.FlagSet, title string, declare func(*pflag.FlagSet)) {
	set := pflag.NewFlagSet(title, pflag.ContinueOnError)
	declare(set)
	set.VisitAll(func(flag *pflag.Flag) {
		if groupOf(flag) == "" {
			flag.Annotations = map[string][]string{annotation: {title}}
		}
		f.AddFlag(flag)
	})
}

func groupOf(f *pflag.Flag) string { return strings.Join(f.Annotations[annotation], "") }

// Install makes root and the commands below it show their help in this way.
func Install(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%s\n\n", Paragraphs(cmp.Or(cmd.Long, cmd.Short), Width))
		show(out, cmd)
	})
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		show(cmd.OutOrStderr(), cmd)
		return nil
	})
}

// show shows how a command is used.
func show(w io.Writer, cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	fmt.Fprintln(w, "Usage:")
	if alone(cmd) {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() && !strings.Contains(cmd.Use, " ") {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases:\n  %s\n", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", Examples(cmd.Example, Width))
	}
	printCommands(w, cmd)
	printFlags(w, cmd)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nMore about a command: %s COMMAND --help\n", cmd.CommandPath())
	}
}

// alone reports whether a command does something without one below it.
func alone(cmd *cobra.Command) bool {
	own := false
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { own = own || f.Name != "help" && groupOf(f) != Global })
	return own || !cmd.HasAvailableSubCommands()
}

// printCommands lists the commands below one, by groups.
func printCommands(w io.Writer, cmd *cobra.Command) {
	groups := slices.Clone(cmd.Groups())
	other := &cobra.Group{Title: "Commands:"}
	if len(groups) > 0 {
		other.Title = "Other Commands:"
	}
	for _, g := range append(groups, other) {
		title := "\n" + g.Title + "\n"
		for _, sub := range cmd.Commands() {
			if sub.GroupID != g.ID || !sub.IsAvailableCommand() || sub.Name() == "help" {
				continue
			}
			head := fmt.Sprintf("  %-*s ", max(cmd.Commands()[0].NamePadding(), 11), sub.Name())
			fmt.Fprintf(w, "%s%s\n", title, hanging(head, sub.Short, Width))
			title = ""
		}
	}
}

// printFlags shows the flags of a command, by groups.
func printFlags(w io.Writer, cmd *cobra.Command) {
	sets := make(map[string]*pflag.FlagSet)
	add := func(f *pflag.Flag) {
		title := cmp.Or(groupOf(f), "Flags")
		if f.Name == "help" && cmd.HasParent() {
			title = Global
			f.Usage = "show this help"
		}
		if sets[title] == nil {
			sets[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
		}
		sets[title].AddFlag(f)
	}
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	for _, title := range []string{"Flags", Machines, Network, Global} {
		if set := sets[title]; set != nil && set.HasAvailableFlags() {
			fmt.Fprintf(w, "\n%s:\n%s", title, set.FlagUsagesWrapped(Width))
		}
	}
}
