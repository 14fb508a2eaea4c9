package control

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ownPeer reports whether the process at the other end runs as our user, or as
// root, who may read the identity anyway.
func ownPeer(c net.Conn) bool {
	cred, ok := credentials(c)
	return ok && (int(cred.Uid) == os.Geteuid() || cred.Uid == 0)
}

// peerPID returns the process that listens at the other end, 0 where nobody knows.
func peerPID(c net.Conn) int {
	cred, ok := credentials(c)
	if !ok {
		return 0
	}
	return int(cred.Pid)
}

func credentials(c net.Conn) (cred *unix.Ucred, ok bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, false
	}
	ctl := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, ctl == nil && err == nil
}
