package process

import "context"

// OnHangup does nothing: there is no such signal here.
func OnHangup(ctx context.Context, _ func()) { <-ctx.Done() }
