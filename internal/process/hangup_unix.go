//go:build unix

package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// OnHangup calls fn for each SIGHUP, until ctx ends.
func OnHangup(ctx context.Context, fn func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	defer signal.Stop(c)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c:
			fn()
		}
	}
}
