package host

import "golang.org/x/sys/windows"

const (
	errAddrInUse = windows.WSAEADDRINUSE
	errNoRoute   = windows.WSAENETUNREACH
)
