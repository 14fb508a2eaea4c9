package forwardcli

import (
	"errors"
	"net"
	"testing"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

func TestParse(t *testing.T) {
	for word, want := range map[string]agent.Route{
		"8080":                        {Listen: "127.0.0.1:8080", To: "127.0.0.1:8080"},
		"8080:80":                     {Listen: "127.0.0.1:8080", To: "127.0.0.1:80"},
		":8080:80":                    {Listen: "127.0.0.1:8080", To: "127.0.0.1:80"},
		"0:80":                        {Listen: "127.0.0.1:0", To: "127.0.0.1:80"},
		"8080:127.0.0.1:80":           {Listen: "127.0.0.1:8080", To: "127.0.0.1:80"},
		":8080:nas.lan:80":            {Listen: "127.0.0.1:8080", To: "nas.lan:80"},
		"localhost:8080:localhost:80": {Listen: "127.0.0.1:8080", To: "localhost:80"},
		"localhost:8080:80":           {Listen: "127.0.0.1:8080", To: "127.0.0.1:80"},
		"127.0.0.2:8080:NAS.lan:80":   {Listen: "127.0.0.2:8080", To: "nas.lan:80"},
		"[::1]:8080:80":               {Listen: "[::1]:8080", To: "127.0.0.1:80"},
		"[::1]:8080:[0:0::1]:80":      {Listen: "[::1]:8080", To: "[::1]:80"},
		"8080:[::1]:80":               {Listen: "127.0.0.1:8080", To: "[::1]:80"},
		"8080:[::ffff:10.0.0.1]:80":   {Listen: "127.0.0.1:8080", To: "10.0.0.1:80"},
	} {
		if got, err := Parse(word, false); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", word, got, err, want)
		}
	}
	for _, word := range []string{
		"", ":", "::", "x", "80:x", "x:80", "0", "70000", "8080:0", "-1:80", "8080:80:90", "8080:80:90:100:110", "a:b:c:d", "8080::80", "::1:8080:80", "[::1:8080:80", "[::1]8080:80",
		"127.0.0.1:80", "nas.lan:80", "nas.lan:8080:80", "8080:0.0.0.0:80", "8080:[::]:80", "8080:127.1:80", "8080:localhost.:80", "8080:http://x:80", "08080:80", "+80:80",
	} {
		if got, err := Parse(word, true); err == nil {
			t.Errorf("%q: got %v", word, got)
		}
	}
	for word, want := range map[string]string{
		"0.0.0.0:8080:80": "0.0.0.0:8080", "*:8080:80": "0.0.0.0:8080", "[::]:8080:80": "[::]:8080", "192.168.1.2:8080:80": "192.168.1.2:8080", "[::ffff:0.0.0.0]:8080:80": "[::ffff:0.0.0.0]:8080",
	} {
		if _, err := Parse(word, false); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v, want that it needs a flag", word, err)
		}
		if got, err := Parse(word, true); err != nil || got.Listen != want {
			t.Errorf("%s: got %v, %v, want %v", word, got, err, want)
		}
	}
}

// What is listened on without a further word is of the loopback.
func TestLoopbackOnly(t *testing.T) {
	for _, word := range []string{"0:80", ":0:80", "localhost:0:80", "127.0.0.1:0:80"} {
		r, err := Parse(word, false)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", r.Listen)
		if err != nil {
			t.Fatal(err)
		}
		if a := ln.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
			t.Errorf("%s listens on %v", word, a)
		}
		ln.Close()
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"8080:80", "[::1]:8080:[::1]:80", "*:1:x:2", "[", "]:[", ":::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		r, err := Parse(word, false)
		if err != nil {
			return
		}
		host, _, err := net.SplitHostPort(r.Listen)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			t.Errorf("%q listens on %s", word, r.Listen)
		}
	})
}
