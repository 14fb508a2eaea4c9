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
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/meant"
	"github.com/seed-b490fa12/swarm/internal/nearest"
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
		_, err := fillFlag(cmd, f, file)
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
		if err := setFlag("environment variable "+envName(f.Name)+":", f, strings.TrimSpace(v)); err != nil {
			return err
		}
	}
	return nil
}

// setFlag sets a flag; where is what the person has set it by.
func setFlag(where string, f *pflag.Flag, v string) error {
	if err := f.Value.Set(v); err != nil {
		return meant.Value(where, f, v, err)
	}
	f.Changed = true
	return nil
}

const maxConfig = 1 << 20 // bytes of a configuration file

// SystemConfig is the configuration file of all users of the machine.
const SystemConfig = "/etc/swarm/config.yaml"

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
		if err := setFlag(fmt.Sprintf("%s:%d: %s:", c.path, s.line, f.Name), f, v); err != nil {
			return err
		}
	}
	return nil
}

// readConfig reads the file at path, or if that is empty the first of the usual ones that exists.
func readConfig(path string, root *cobra.Command) (configFile, error) {
	paths := []string{path}
	if path == "" {
		paths = UsualConfigs()
	}
	for _, p := range paths {
		text, err := durable.ReadLinked(p, maxConfig)
		if errors.Is(err, fs.ErrNotExist) && path == "" {
			continue
		}
		if err != nil {
			return configFile{}, fmt.Errorf("read the configuration: %w", err)
		}
		if text, err = durable.Text(text); err != nil {
			return configFile{}, fmt.Errorf("%s: %w", p, err)
		}
		return parseConfig(p, text, allFlags(root))
	}
	return configFile{}, nil
}

// UsualConfigs are the places of the configuration file; the first that exists is read.
func UsualConfigs() (paths []string) {
	if dir, err := os.UserConfigDir(); err == nil {
		paths = append(paths, filepath.Join(dir, "swarm", "config.yaml"))
	}
	return append(paths, SystemConfig)
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
				return c, fmt.Errorf("%s:%d: unknown setting %q%s: a setting is the name of a flag without --", path, line, name,
					nearest.Hint(name, slices.Collect(maps.Keys(known))))
			}
			values, err := scalars(p.Value)
			if err != nil {
				return c, fmt.Errorf("%s:%d: %s: %w", path, line, name, err)
			}
			if len(values) > 0 {
				c.values[name] = setting{line, values}
			}
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

// scalars returns the value or the values of a setting as text; none for null, which is as if the
// setting were left out.
func scalars(n ast.Node) ([]string, error) {
	if _, null := n.(*ast.NullNode); null {
		return nil, nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		v, err := scalar(n)
		return []string{v}, err
	}
	var out []string
	for _, n := range seq.Values {
		v, err := scalar(n)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// scalar returns one value as it is written: the flag reads it, and a machine may be called 007.
func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	}
	return "", errors.New("want a value or a list of values")
}
