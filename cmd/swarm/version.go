package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/node/greet"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = ""

// buildVersion is the release, or what the Go toolchain knows of the build.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

func newVersionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the program and of the protocol",
		Example: "  swarm version --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Protocol string `json:"protocol"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{buildVersion(), greet.ProtocolVersion, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return e.Print(v, func() error {
				_, err := e.Stdout.Printf("swarm %s, protocol %s, %s, %s\n", v.Version, v.Protocol, v.Go, v.Platform)
				return err
			})
		},
	}
}
