package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/buildinfo"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = ""

// buildVersion is the release, or what the Go toolchain knows of the build.
func buildVersion() string { return buildinfo.Read(version).Version }

func newVersionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the program and of the protocol",
		Example: "  swarm version --json",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return printVersion(e) },
	}
}

func printVersion(e *env) error {
	v := struct {
		buildinfo.Info
		Protocol string `json:"protocol"`
	}{buildinfo.Read(version), greet.ProtocolVersion}
	return e.Print(v, func() error {
		source := v.Source()
		if source != "" {
			source += ", "
		}
		_, err := e.Stdout.Printf("swarm %s, %sprotocol %s, %s, %s\n", v.Version, source, v.Protocol, v.Go, v.Platform)
		return err
	})
}
