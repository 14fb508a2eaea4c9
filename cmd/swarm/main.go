// Command swarm controls the machines one owns, peer to peer.
//
// It is a worker on each machine and a controller at the owner's; see
// "swarm --help", or README.md for the first steps.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

func main() {
	keepInherited()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{Writer: stdout}
	a := &app{stdin: stdin, stdout: &printer{out}, stderr: &printer{stderr}, terminal: stderr}
	cmd := a.command()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(a.stdout)
	cmd.SetErr(a.stderr)
	code := a.exitCode(ctx, cmd.ExecuteContext(ctx))
	if err := out.failed(); err != nil && code == exitOK {
		return a.exitCode(ctx, fmt.Errorf("write the results: %w", err))
	}
	return code
}

// output remembers the first write that failed: results that nobody got are no
// success.
type output struct {
	io.Writer
	mu  sync.Mutex
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.err = cmp.Or(o.err, err)
	}
	return n, err
}

func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
