//go:build !windows

package dial

import "syscall"

const errNoRoute = syscall.ENETUNREACH
