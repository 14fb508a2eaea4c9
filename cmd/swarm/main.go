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
	"syscall"

	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/process"
)

func main() {
	process.KeepInherited()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := output.NewChecked(stdout)
	e := newEnv(stdin, out, stderr)
	cmd := newRootCommand(e)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(e.Stdout)
	cmd.SetErr(e.Stderr)
	code := exitCode(ctx, e, cmd.ExecuteContext(ctx))
	if err := out.Err(); err != nil && code == exitOK {
		return exitCode(ctx, e, fmt.Errorf("write the results: %w", err))
	}
	return code
}

// newEnv returns what commands share before their flags are read.
func newEnv(stdin io.Reader, stdout, stderr io.Writer) *env {
	e := &env{Std: output.Std{Stdout: output.New(stdout), Stderr: output.New(stderr)}, stdin: stdin, terminal: stderr}
	e.ask = ask.New(stdin, e.Stderr)
	return e
}
