package dial

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// segment returns the largest segment of a new connection to a listener at ip.
func segment(t *testing.T, ip string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := TCPDialer().DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	if err := raw.Control(func(socket uintptr) {
		size, err = unix.GetsockoptInt(int(socket), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// Segments fit any link, except on the way to this machine itself.
func TestSegmentsFitAnyLink(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	tested := false
	for _, a := range addrs {
		if ip := a.(*net.IPNet).IP; !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			tested = true
			if got := segment(t, ip.String()); got > mostSegment {
				t.Errorf("to %s segments have %d bytes, want %d at most", ip, got, mostSegment)
			}
		}
	}
	if !tested {
		t.Log("this machine has no network")
	}
	if got := segment(t, "127.0.0.1"); got <= mostSegment {
		t.Errorf("on this machine segments have only %d bytes", got)
	}
}
