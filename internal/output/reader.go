package output

import (
	"context"
	"fmt"
)

// ErrReaderGone is the cause for which a context of WhileRead ends.
var ErrReaderGone = fmt.Errorf("nobody reads the output any more: %w", context.Canceled)

// WhileRead returns a context that ends when the reader of the pipe behind p has gone: what prints
// only now and then would not notice before its next line. The caller calls stop.
func WhileRead(ctx context.Context, p *Printer) (_ context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if f := file(p.w); f != nil {
		go func() {
			if awaitHangup(ctx, f) {
				cancel(ErrReaderGone)
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}
