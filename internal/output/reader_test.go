//go:build unix

package output

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// A reader that goes away ends the context, also where nothing is written; one that reads does not.
func TestWhileRead(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, stop := WhileRead(t.Context(), New(NewChecked(w)))
	defer stop()
	if ctx.Err() != nil {
		t.Error("ended at once")
	}
	r.Close()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the reader is gone, and nobody notices")
	}
	if !errors.Is(context.Cause(ctx), ErrReaderGone) {
		t.Errorf("cause is %v", context.Cause(ctx))
	}
	plain, stop := WhileRead(t.Context(), New(&terminal{width: 80}))
	stop()
	if errors.Is(context.Cause(plain), ErrReaderGone) {
		t.Error("a buffer has no reader")
	}
}
