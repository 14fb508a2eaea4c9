//go:build !unix

package output

import (
	"context"
	"os"
)

// awaitHangup cannot tell here.
func awaitHangup(context.Context, *os.File) bool { return false }
