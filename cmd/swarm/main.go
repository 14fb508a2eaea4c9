// Command swarm controls the machines one owns, peer to peer.
//
// It is a worker on each machine and a controller at the owner's; see
// "swarm --help", or README.md for the first steps.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/process"
	"github.com/seed-b490fa12/swarm/ops/driver/shim"
	"github.com/seed-b490fa12/swarm/ops/driver/wasm"
)

func main() {
	if code, done := shim.Main(); done {
		os.Exit(code)
	}
	if code, done := wasm.Main(os.Args); done {
		os.Exit(code)
	}
	if code, done := process.AsInit(); done {
		os.Exit(code)
	}
	process.KeepInherited()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if len(interrupts) > 0 && code == console.ExitOK {
		code = console.ExitInterrupted // also of a command that ends only so
	}
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := output.NewChecked(stdout)
	e := console.New(stdin, out, stderr)
	cmd := newRootCommand(e)
	cmd.SetArgs(args)
	e.JSON = slices.Contains(args, "--json") // also where the rest cannot be read
	cmd.SetIn(stdin)
	cmd.SetOut(e.Stdout)
	cmd.SetErr(e.Stderr)
	code := e.ExitCode(ctx, cmd.ExecuteContext(ctx))
	if err := out.Err(); err != nil && code == console.ExitOK {
		return e.ExitCode(ctx, fmt.Errorf("write the results: %w", err))
	}
	return code
}
