package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/usage"
)

// The help of each command fits into a terminal of 80 columns.
func TestHelpFitsIntoATerminal(t *testing.T) {
	eachCommand(newRootCommand(console.New(nil, os.Stdout, os.Stderr)), func(cmd *cobra.Command) {
		if cmd.DisableFlagParsing {
			return
		}
		args := append(strings.Fields(strings.TrimPrefix(cmd.CommandPath(), "swarm")), "--help")
		for line := range strings.Lines(outputOf(t, args...)) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > usage.Width {
				t.Errorf("%s --help: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
	})
}

// Each example of a help is a command that exists, with flags, values and arguments that it takes.
func TestExamplesAreCommands(t *testing.T) {
	var lines []string
	eachCommand(newRootCommand(console.New(nil, os.Stdout, os.Stderr)), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			lines = append(lines, strings.TrimSpace(line))
		}
	})
	n := 0
	for _, line := range lines {
		for _, words := range shellWords(line) {
			if words[0] != "swarm" {
				continue
			}
			n++
			root := newRootCommand(console.New(nil, os.Stdout, os.Stderr))
			if err := accepts(root, words[1:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d examples: the pattern has lost them", n)
	}
}

// accepts returns why the program would not run a command line.
func accepts(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil || cmd.DisableFlagParsing {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if err := cmd.ValidateFlagGroups(); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// shellWords reads a line as a shell does: commands that pipes and semicolons part, their words
// without quotes and comments, and without what is read from a file or written to one.
func shellWords(line string) (commands [][]string) {
	var words []string
	var word strings.Builder
	quote, begun := rune(0), false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	next := func() {
		end()
		if i := slices.IndexFunc(words, func(w string) bool { return w == "<" || w == ">" }); i >= 0 {
			words = words[:i]
		}
		if len(words) > 0 {
			commands = append(commands, words)
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote == 0 && r == ' ':
			end()
		case quote == 0 && (r == '|' || r == ';'):
			next()
		case quote == 0 && r == '#' && !begun:
			next()
			return commands
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	next()
	return commands
}

// An everyday operation and "controller exec" are one: the same flags, and the same words when it fails.
func TestWordsAreOperations(t *testing.T) {
	dir := t.TempDir()
	for word, operation := range map[string]string{
		"stats": "get_stats", "logs": "get_logs", "start": "start_miner", "stop": "stop_miner", "deploy": "deploy",
	} {
		var texts []string
		for _, name := range []string{word, "controller exec " + operation} {
			var out, errs bytes.Buffer
			args := append(strings.Fields(name), "rig-77", ".", "--name=x", "--mdns=false", "--state", dir)
			if operation == "start_miner" {
				args = append(args, "--miner=refpow")
			}
			if operation == "get_stats" {
				args = slices.DeleteFunc(args, func(a string) bool { return a == "--name=x" || a == "." })
			}
			code := run(t.Context(), args, strings.NewReader(""), &out, &errs)
			if code != console.ExitUsage || !strings.Contains(errs.String(), "rig-77") {
				t.Errorf("%s: exit code %d: %s", name, code, errs.String())
			}
			texts = append(texts, errs.String())
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: got %s and %s", word, texts[0], texts[1])
		}
	}
}

// eachCommand calls do for each command that does something.
func eachCommand(cmd *cobra.Command, do func(*cobra.Command)) {
	if cmd.Runnable() {
		do(cmd)
	}
	for _, sub := range cmd.Commands() {
		eachCommand(sub, do)
	}
}
