package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/settings"
)

func newConfigCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the settings that are in force, or begin a configuration file",
		Example: "  swarm config show\n  swarm config init",
		Args:    noArgs,
		RunE:    help,
	}
	cmd.AddCommand(newConfigShowCommand(e), newConfigInitCommand(e))
	return cmd
}

func newConfigShowCommand(e *env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "show [COMMAND]",
		Short: "Show the settings that are in force, and where each was made",
		Long: `Show the settings that are in force for "swarm worker", or for another command, and where each was made:
on the command line, in the environment, or in which line of the configuration file. What nobody has set
is shown with --all.`,
		Example: "  swarm config show\n  swarm config show relay --all\n  swarm config show controller exec --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"worker"}
			}
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("unknown command %q; see: swarm --help", strings.Join(args, " "))
			}
			return showConfig(e, of, cmd.Flag("config").Value.String(), all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also what nobody has set")
	return cmd
}

func showConfig(e *env, of *cobra.Command, path string, all bool) error {
	found, err := settings.Show(of, path)
	if err != nil {
		return err
	}
	shown := 0
	for _, s := range found {
		if s.From == "default" && !all {
			continue
		}
		shown++
		if err := e.Print(s, func() error {
			_, err := e.Stdout.Printf("%-20s %-40s  %s\n", s.Name, output.OrDash(strings.Join(s.Values, ", ")), s.From)
			return err
		}); err != nil {
			return err
		}
	}
	if shown == 0 {
		e.Stderr.Printf("Nobody has set anything for %s; --all shows the defaults.\n", of.CommandPath())
	}
	return nil
}

func newConfigInitCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Begin a configuration file that explains each setting",
		Long: `Write a configuration file in which each setting is explained, and nothing is set yet. Without FILE it is
the one that is read by default. A file that is there already stays as it is. With - it is printed.`,
		Example: "  swarm config init\n  swarm config init -",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return initConfig(e, cmd.Root(), strings.Join(args, ""))
		},
	}
}

func initConfig(e *env, root *cobra.Command, path string) error {
	var of []*cobra.Command
	for _, name := range [][]string{{"worker"}, {"relay"}, {"controller", "serve"}} {
		cmd, _, err := root.Find(name)
		if err != nil {
			return err
		}
		of = append(of, cmd)
	}
	text := settings.Template(of...)
	if path == "-" {
		var err error
		for line := range strings.Lines(text) {
			_, err = e.Stdout.Println(strings.TrimSuffix(line, "\n"))
		}
		return err
	}
	if path == "" {
		path = settings.UsualConfigs()[0]
		if os.Geteuid() == 0 {
			path = settings.SystemConfig
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	err := durable.CreateFile(path, []byte(text), 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and stays as it is; see what is in force: swarm config show", path)
	}
	if err != nil {
		return err
	}
	return e.Print(struct {
		Path string `json:"file"`
	}{path}, func() error {
		_, err := e.Stdout.Printf("%s explains each setting, and sets none yet. See what is in force: swarm config show\n", path)
		return err
	})
}
