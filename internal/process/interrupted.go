package process

import (
	"context"
	"os"
)

// Interrupted reports whether ctx, which signal.NotifyContext made or which is below such a one, was
// ended by an interrupt, as by Ctrl-C, and not by another signal.
func Interrupted(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && cause.Error() == os.Interrupt.String()+" signal received"
}
