package refpow

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// parentEvery is how often the miner looks whether its parent is still there.
const parentEvery = time.Second

// Main is the miner as a program: it reads the file named by --config, and mines until ctx ends,
// SIGTERM or SIGINT comes, or the parent process is gone. It returns the exit code: 0 after such an
// end, 1 when mining failed, 2 for bad arguments or configuration.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "", "the configuration `FILE`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	cfg, err := ReadConfig(*path)
	if err != nil {
		fmt.Fprintln(stderr, "refpow:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() { defer close(watched); endWithParent(ctx, cancel, cfg.Parent) }()
	err = Mine(ctx, cfg, stdout)
	cancel()
	<-watched
	if err != nil {
		fmt.Fprintln(stderr, "refpow:", err)
		return 1
	}
	return 0
}

// endWithParent cancels when this process is no longer a child of parent. Windows does not tell:
// there the driver's job object ends the miner.
func endWithParent(ctx context.Context, cancel context.CancelFunc, parent int) {
	if parent == 0 {
		parent = os.Getppid()
	}
	tick := time.NewTicker(parentEvery)
	defer tick.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	cancel()
}
