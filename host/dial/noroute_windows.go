package dial

import "golang.org/x/sys/windows"

const errNoRoute = windows.WSAENETUNREACH
