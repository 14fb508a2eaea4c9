// Package settings fills in the flags that a command line leaves out: from the environment
// (--log-level is SWARM_LOG_LEVEL), else from a YAML file whose keys are the names of flags.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Fill sets the flags of cmd that the command line left out. The flag "config" names the file; if
// it is empty, the first of the usual files that exists is read. A key that is a flag of no command
// is an error.
func Fill(cmd *cobra.Command) error {
	config := cmd.Flag("config")
	if err := fromEnvironment(config); err != nil {
		return err
	}
	file, err := readConfig(config.Value.String(), cmd.Root())
	if err != nil {
		return err
	}
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		// The name of a machine is not what a command should call things.
		if f.Name == "name" && cmd.Name() != "worker" {
			return
		}
		err := fromEnvironment(f)
		if err == nil {
			err = file.apply(f)
		}
		errs = append(errs, err)
	})
	return errors.Join(errs...)
}

// envName is the environment variable of a flag.
func envName(flag string) string {
	return "SWARM_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func fromEnvironment(f *pflag.Flag) error {
	v := os.Getenv(envName(f.Name)) // empty counts as unset
	if f.Changed || v == "" || f.Name == "help" {
		return nil
	}
	values := []string{v}
	if f.Value.Type() == "stringArray" {
		values = strings.Split(v, ",") // no multiaddr has a comma
	}
	for _, v := range values {
		if err := setFlag(f, strings.TrimSpace(v)); err != nil {
			return fmt.Errorf("environment variable %s: %w", envName(f.Name), err)
		}
	}
	return nil
}

func setFlag(f *pflag.Flag, v string) error {
	if err := f.Value.Set(v); err != nil {
		return err
	}
	f.Changed = true
	return nil
}

const maxConfig = 1 << 20 // bytes of a configuration file

// configFile is the configuration file: flag names with values.
type configFile struct {
	path   string
	values map[string]setting
}

type setting struct {
	line   int
	values []string
}

func (c configFile) apply(f *pflag.Flag) error {
	s, ok := c.values[f.Name]
	if f.Changed || !ok {
		return nil
	}
	for _, v := range s.values {
		if err := setFlag(f, v); err != nil {
			return fmt.Errorf("%s:%d: %s: %w", c.path, s.line, f.Name, err)
		}
	}
	return nil
}

// readConfig reads the file at path, or if that is empty the first of the usual ones that exists.
func readConfig(path string, root *cobra.Command) (configFile, error) {
	paths := []string{path}
	if path == "" {
		paths = usualConfigs()
	}
	for _, p := range paths {
		text, err := durable.ReadLinked(p, maxConfig)
		if errors.Is(err, fs.ErrNotExist) && path == "" {
			continue
		}
		if err != nil {
			return configFile{}, fmt.Errorf("read the configuration: %w", err)
		}
		return parseConfig(p, text, allFlags(root))
	}
	return configFile{}, nil
}

func usualConfigs() (paths []string) {
	if dir, err := os.UserConfigDir(); err == nil {
		paths = append(paths, filepath.Join(dir, "swarm", "config.yaml"))
	}
	return append(paths, "/etc/swarm/config.yaml")
}

func allFlags(cmd *cobra.Command) map[string]bool {
	names := make(map[string]bool)
	add := func(f *pflag.Flag) { names[f.Name] = f.Name != "help" && f.Name != "config" }
	cmd.PersistentFlags().VisitAll(add)
	cmd.Flags().VisitAll(add)
	for _, sub := range cmd.Commands() {
		maps.Copy(names, allFlags(sub))
	}
	return names
}

func parseConfig(path string, text []byte, known map[string]bool) (configFile, error) {
	c := configFile{path: path, values: make(map[string]setting)}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	for _, doc := range file.Docs {
		pairs, err := mapping(doc.Body)
		if err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
		for _, p := range pairs {
			name, line := p.Key.String(), p.Key.GetToken().Position.Line
			if !known[name] {
				return c, fmt.Errorf("%s:%d: unknown setting %q: a setting is the name of a flag without --", path, line, name)
			}
			values, err := scalars(p.Value)
			if err != nil {
				return c, fmt.Errorf("%s:%d: %s: %w", path, line, name, err)
			}
			c.values[name] = setting{line, values}
		}
	}
	return c, nil
}

func mapping(n ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, errors.New("want settings of the form name: value")
}

// scalars returns the value or the values of a setting as text.
func scalars(n ast.Node) ([]string, error) {
	if seq, ok := n.(*ast.SequenceNode); ok {
		var out []string
		for _, v := range seq.Values {
			s, err := scalars(v)
			if err != nil {
				return nil, err
			}
			out = append(out, s...)
		}
		return out, nil
	}
	scalar, ok := n.(ast.ScalarNode)
	if !ok {
		return nil, errors.New("want a value or a list of values")
	}
	return []string{fmt.Sprint(scalar.GetValue())}, nil
}
