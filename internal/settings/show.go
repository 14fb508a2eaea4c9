package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Setting is what is in force for one flag, and where that was said.
type Setting struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
	From   string   `json:"source"` // "default", "command line", "environment SWARM_…" or "FILE:LINE"
}

// Show returns what is in force for a command that does not run now, by the configuration file of
// this one.
func Show(of *cobra.Command, path string) ([]Setting, error) {
	if err := of.ParseFlags(nil); err != nil { // adds the flags of all commands
		return nil, err
	}
	file, err := readConfig(path, of.Root())
	if err != nil {
		return nil, err
	}
	var all []Setting
	var errs []error
	of.Flags().VisitAll(func(f *pflag.Flag) {
		if noSetting(f) {
			return
		}
		from, err := fillFlag(of, f, file)
		errs = append(errs, err)
		all = append(all, Setting{Name: f.Name, Values: valuesOf(f), From: from})
	})
	return all, errors.Join(errs...)
}

// noSetting reports whether a flag is one of a single command line.
func noSetting(f *pflag.Flag) bool {
	return f.Hidden || slices.Contains([]string{"help", "config", "json", "yes", "verbose", "version"}, f.Name)
}

// origin is the annotation of a flag that says where its value is from.
const origin = "swarm_origin"

// fillFlag sets a flag that the command line left out, and returns where its value is from.
func fillFlag(cmd *cobra.Command, f *pflag.Flag, file configFile) (from string, err error) {
	if f.Changed {
		if from := f.Annotations[origin]; len(from) > 0 {
			return from[0], nil // by an earlier call: a flag of all commands
		}
		return "command line", nil
	}
	defer func() {
		if f.Changed {
			f.Annotations = map[string][]string{origin: {from}}
		}
	}()
	// The name of a machine is not what a command should call things.
	if f.Name == "name" && cmd.Name() != "worker" {
		return "default", nil
	}
	if err := fromEnvironment(f); err != nil || f.Changed {
		return "environment " + envName(f.Name), err
	}
	if err := file.apply(f); err != nil || f.Changed {
		return fmt.Sprintf("%s:%d", file.path, file.values[f.Name].line), err
	}
	return "default", nil
}

func valuesOf(f *pflag.Flag) []string {
	list, ok := f.Value.(pflag.SliceValue)
	switch {
	case ok:
		return append([]string{}, list.GetSlice()...)
	case f.Value.String() == "":
		return []string{}
	}
	return []string{f.Value.String()}
}

// Template is a configuration file in which every setting of some commands is explained and left
// out.
func Template(of ...*cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Settings of swarm on this machine. Each is a flag without its dashes; the command line and the\n" +
		"# environment (SWARM_LOG_LEVEL for log-level) come first. Take the # off what you set.\n")
	seen := make(map[string]bool)
	for _, cmd := range of {
		title := "\n# --- " + cmd.CommandPath() + " ---\n"
		add := func(f *pflag.Flag) {
			if seen[f.Name] || noSetting(f) {
				return
			}
			seen[f.Name] = true
			b.WriteString(title + entry(f))
			title = ""
		}
		cmd.LocalFlags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
	}
	return b.String()
}

const templateWidth = 98

// entry explains one setting.
func entry(f *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(f)
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(usage) {
		if len(line)+len(word) > templateWidth {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	value := strings.Join(valuesOf(f), ", ")
	if _, list := f.Value.(pflag.SliceValue); list {
		value = "[" + value + "]"
	}
	return "\n" + b.String() + line + "\n" + strings.TrimRight("#"+f.Name+": "+value, " ") + "\n"
}
