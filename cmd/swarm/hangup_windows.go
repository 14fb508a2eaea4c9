package main

import "context"

// onHangup does nothing: there is no such signal here.
func onHangup(ctx context.Context, _ func()) { <-ctx.Done() }
