// Package meant says what a person may have meant by a command line that is wrong: a command, a flag,
// a value, or too many words.
package meant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/nearest"
)

// Install makes root and the commands below it, which are all there already, explain such mistakes.
func Install(root *cobra.Command) {
	root.SetFlagErrorFunc(flagError)
	each(root, func(cmd *cobra.Command) {
		check := cmd.Args
		if check == nil || cmd.HasSubCommands() {
			return
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error { return counted(cmd, args, check(cmd, args)) }
	})
}

func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		each(sub, do)
	}
}

// counted puts in words that cobra has counted other arguments than it wants.
func counted(cmd *cobra.Command, args []string, err error) error {
	if err == nil || !strings.Contains(err.Error(), " arg(s), ") {
		return err
	}
	usage := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	if strings.Count(usage, " ") > strings.Count(cmd.CommandPath(), " ")+len(args) {
		return fmt.Errorf("something is missing; usage: %s", usage)
	}
	return fmt.Errorf("%q is too much; usage: %s", args[len(args)-1], usage)
}

// Command returns the error for a word that is no command below cmd.
func Command(cmd *cobra.Command, word string) error {
	hint := ""
	if path := findCommand(cmd, word); path != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", path)
	}
	return fmt.Errorf("unknown command %q for %q%s; see: %s --help", word, cmd.CommandPath(), hint, cmd.CommandPath())
}

// findCommand looks for what a word may mean: by another name for it, elsewhere, or a letter wrong.
func findCommand(cmd *cobra.Command, word string) string {
	word = strings.ToLower(word)
	paths := make(map[string]string) // by all words for a command
	var below, all []string
	add := func(list *[]string, c *cobra.Command, words ...string) {
		for _, w := range words {
			*list = append(*list, w)
			if _, ok := paths[w]; !ok {
				paths[w] = c.CommandPath()
			}
		}
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			add(&below, c, append(append([]string{c.Name()}, c.Aliases...), c.SuggestFor...)...)
		}
	}
	each(cmd.Root(), func(c *cobra.Command) {
		if c.IsAvailableCommand() && c.HasParent() {
			add(&all, c, append([]string{c.Name()}, c.SuggestFor...)...)
		}
	})
	if path, ok := paths[word]; ok {
		return path
	}
	if near := nearest.Word(word, below); near != "" {
		return paths[near]
	}
	return paths[nearest.Word(word, all)]
}

// flagError explains why flags were not taken.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if args := cmd.Flags().Args(); len(args) > 0 && cmd.HasSubCommands() && !strings.Contains(cmd.Use, " ") {
			return Command(cmd, args[0]) // its flags cannot be known
		}
		return unknownFlag(cmd, unknown)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return Value("--"+invalid.GetFlag().Name, invalid.GetFlag(), invalid.GetValue(), invalid.Unwrap())
	}
	return fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())
}

func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		return fmt.Errorf("-%s is not for %s; see: %s --help", unknown.GetSpecifiedName(), cmd.Name(), cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	slices.Sort(names)
	name := "--" + unknown.GetSpecifiedName()
	return fmt.Errorf("%s is not for %s%s; see: %s --help", name, cmd.Name(), nearest.Hint(name, names), cmd.CommandPath())
}

// Value returns the error for a value that a flag does not take; where is how the person has named the
// flag.
func Value(where string, f *pflag.Flag, value string, err error) error {
	switch f.Value.Type() {
	case "bool":
		return fmt.Errorf("%s %q: want true or false", where, value)
	case "int", "int64", "uint", "uint16":
		return fmt.Errorf("%s %q: want a whole number", where, value)
	}
	if strings.Contains(err.Error(), fmt.Sprintf("%q", value)) {
		return fmt.Errorf("%s %w", where, err)
	}
	return fmt.Errorf("%s %q: %w", where, value, err)
}
