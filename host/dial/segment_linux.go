package dial

import "golang.org/x/sys/unix"

func limitSegments(socket uintptr, most int) {
	_ = unix.SetsockoptInt(int(socket), unix.IPPROTO_TCP, unix.TCP_MAXSEG, most)
}
