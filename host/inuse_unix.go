//go:build !windows

package host

import "syscall"

const (
	errAddrInUse = syscall.EADDRINUSE
	errNoRoute   = syscall.ENETUNREACH
)
