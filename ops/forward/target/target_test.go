package target

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	name := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 61) // 253 bytes
	for _, s := range []string{
		"127.0.0.1:80", "127.0.0.2:80", "192.168.1.5:65535", "[::1]:8080", "[fe80::1]:1", "[2001:db8::7]:443", "localhost:80", "nas.lan:5000", "my_nas:1",
		"1rig:80", "xn--bcher-kva.example:80", name + ":65535",
	} {
		if err := Check(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", ":80", "80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:080", "127.0.0.1:+80", "127.0.0.1:http", "127.0.0.1:80:80", "127.0.0.1:８０",
		"0.0.0.0:80", "[::]:80", "0:80", "127.1:80", "2130706433:80", "0x7f000001:80", "0x7f.0.0.1:80", "017700000001:80", "0177.0.0.1:80", "127.0.0.01:80", "127.0.0.0x1:80", "0x:80",
		"[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80", "[0:0:0:0:0:0:0:1]:80", "[::0001]:80", "[::1%lo]:80", "::1:80", "[127.0.0.1]:80", "[localhost]:80", "[::FFFF]:80",
		"localhost.:80", "LOCALHOST:80", "Localhost:80", "local host:80", " localhost:80", "localhost :80", "localhost\x00:80", "localhost\n:80", "loca%6chost:80", "user@localhost:80",
		"http://localhost:80", "localhost/:80", "*:80", "*.lan:80", "nas..lan:80", ".lan:80", "-a:80", "a-:80", "lоcalhost:80", "ⓛocalhost:80", "１２７.0.0.1:80",
		"224.0.0.1:80", "[ff02::1]:80", "255.255.255.255:80", name + "a:80", strings.Repeat("a", 64) + ":80", strings.Repeat("x.", 5000) + ":80",
	} {
		if err := Check(s); err == nil {
			t.Errorf("%q is taken", s)
		} else if len(err.Error()) > 1600 || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%.80q: the error is %.300q", s, err)
		}
	}
}

// FuzzCheck: what is taken has one spelling, and means one machine.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"127.0.0.1:80", "[::1]:80", "nas.lan:1", "0x7f.1:80", "[::ffff:1.2.3.4]:1", "a.:1", "*:*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if Check(s) != nil {
			return
		}
		host, port, err := net.SplitHostPort(s)
		if err != nil || net.JoinHostPort(host, port) != s || strings.ToLower(s) != s || strings.ContainsAny(s, "*% \x00/@") {
			t.Errorf("taken: %q", s)
		}
		if a, err := netip.ParseAddr(host); err == nil && (a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.String() != host) {
			t.Errorf("taken: %q", s)
		}
	})
}
