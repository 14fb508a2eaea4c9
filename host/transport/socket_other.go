//go:build !linux

package transport

import "time"

func kernelLine(int) (queued time.Duration, resent uint64, known bool) { return 0, 0, false }
