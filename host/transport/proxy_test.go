package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/multiformats/go-multiaddr"
)

// scripted is a proxy that handles one connection after the other as told.
func scripted(t *testing.T, serve func(net.Conn)) (at string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// answersHTTP answers each request with a text, and passes on what it was asked.
func answersHTTP(asked chan<- *http.Request, answer string) func(net.Conn) {
	return func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		asked <- r
		io.WriteString(c, answer)
	}
}

func dialThrough(t *testing.T, url string) (net.Conn, error) {
	t.Helper()
	p, err := NewProxy(url, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return newOpener(Config{Proxy: p}).open(ctx, multiaddr.StringCast("/dns4/relay.example.com/tcp/443"))
}

// TestConnect: the name and the password reach the proxy, and no byte of the tunnel is lost that
// comes in one packet with the answer.
func TestConnect(t *testing.T) {
	asked := make(chan *http.Request, 1)
	at := scripted(t, answersHTTP(asked, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello"))
	c, err := dialThrough(t, "http://me:secret@"+at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if text, err := io.ReadAll(c); string(text) != "hello" || err != nil {
		t.Errorf("got %q, %v through the tunnel", text, err)
	}
	r := <-asked
	r.Header["Authorization"] = r.Header["Proxy-Authorization"]
	user, password, _ := r.BasicAuth()
	if r.Method != http.MethodConnect || r.Host != "relay.example.com:443" || user != "me" || password != "secret" {
		t.Errorf("asked %s %s by %s with %s", r.Method, r.Host, user, password)
	}
}

// answersSOCKS is a SOCKS5 proxy that takes a name and gives a reply; with a password it wants that.
func answersSOCKS(asked chan<- string, password string, reply byte) func(net.Conn) {
	return func(c net.Conn) {
		c.SetDeadline(time.Now().Add(5 * time.Second))
		read := func(n int) []byte {
			b := make([]byte, n)
			io.ReadFull(c, b)
			return b
		}
		read(int(read(2)[1]))
		if password == "" {
			c.Write([]byte{5, 0})
		} else {
			c.Write([]byte{5, 2})
			user := read(int(read(2)[1]))
			if given := read(int(read(1)[0])); string(given) != password || string(user) != "me" {
				c.Write([]byte{1, 1})
				return
			}
			c.Write([]byte{1, 0})
		}
		name := read(int(read(5)[4]))
		port := read(2)
		asked <- string(name) + ":" + string("0123456789"[port[1]%10])
		c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		io.WriteString(c, "hello")
	}
}

func TestSOCKS(t *testing.T) {
	for _, scheme := range []string{"socks5://", "socks5h://"} {
		asked := make(chan string, 1)
		at := scripted(t, answersSOCKS(asked, "secret", 0))
		c, err := dialThrough(t, scheme+"me:secret@"+at)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(c); string(text) != "hello" || err != nil {
			t.Errorf("got %q, %v through the tunnel", text, err)
		}
		c.Close()
		if got := <-asked; !strings.HasPrefix(got, "relay.example.com:") {
			t.Errorf("asked for %s", got)
		}
	}
}

// TestRefusals: each error names the proxy and what it said in one line, without the password; what
// the proxy is to blame for is told from a peer that it does not reach.
func TestRefusals(t *testing.T) {
	nobody := scripted(t, func(net.Conn) {})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	web := func(answer string) string {
		return scripted(t, answersHTTP(make(chan *http.Request, 1), answer))
	}
	for _, tt := range []struct {
		name, url, want string
		blamed          bool
	}{
		{"password", "http://me:secret@" + web("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), "refused: 407 Proxy Authentication Required", true},
		{"port", "http://" + web("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"), "refused: 403 Forbidden", true},
		{"peer", "http://" + web("HTTP/1.1 504 Gateway Timeout\r\n\r\n"), "does not reach it: 504 Gateway Timeout", false},
		{"no HTTP", "http://" + web("SSH-2.0-x\r\n"), "speaks no HTTP: ", true},
		{"endless", "http://" + web("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxAnswer)), "speaks no HTTP: ", true},
		{"hangs up", "http://" + nobody, "speaks no HTTP: ", true},
		{"closed", "http://" + closed.Addr().String(), "does not answer: connection refused", true},
		{"SOCKS, password", "socks5://me:wrong@" + scripted(t, answersSOCKS(nil, "secret", 0)), "refused: username/password authentication failed", true},
		{"SOCKS, rule", "socks5://" + scripted(t, answersSOCKS(make(chan string, 1), "", 2)), "refused: connection not allowed by ruleset", true},
		{"SOCKS, peer", "socks5://" + scripted(t, answersSOCKS(make(chan string, 1), "", 5)), "does not reach it: connection refused", false},
		{"SOCKS, closed", "socks5://" + closed.Addr().String(), "does not answer: connection refused", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := dialThrough(t, tt.url)
			if err == nil {
				c.Close()
				t.Fatal("it is connected")
			}
			if e, ok := errors.AsType[*ProxyError](err); !ok || !strings.Contains(tt.url, e.Proxy) {
				t.Errorf("got %v, which does not name the proxy", err)
			}
			if !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %q, want %q", err, tt.want)
			}
			if errors.Is(err, ErrProxy) != tt.blamed {
				t.Errorf("%v: the proxy is blamed: %v, want %v", err, !tt.blamed, tt.blamed)
			}
		})
	}
}

// TestSilentProxy: the caller's time is what ends a dial, and the proxy is named.
func TestSilentProxy(t *testing.T) {
	release := make(chan struct{})
	for _, scheme := range []string{"http://", "socks5://"} {
		p, err := NewProxy(scheme+scripted(t, func(net.Conn) { <-release }), "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = newOpener(Config{Proxy: p}).open(ctx, multiaddr.StringCast("/ip4/16.1.0.10/tcp/443"))
		cancel()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := newOpener(Config{Proxy: p}).open(cancelled, multiaddr.StringCast("/ip4/16.1.0.10/tcp/443")); !errors.Is(err, context.Canceled) || errors.Is(err, ErrProxy) {
			t.Errorf("%s, cancelled: got %v", scheme, err)
		}
		if !errors.Is(err, ErrProxy) || !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), " does not answer") {
			t.Errorf("%s: got %v", scheme, err)
		}
	}
	close(release)
}

// TestWhatGoesThroughTheProxy: what is outside of the local network, unless NO_PROXY has it.
func TestWhatGoesThroughTheProxy(t *testing.T) {
	p, err := NewProxy("proxy.example:3128", "16.2.0.0/16,direct.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]bool{
		"/ip4/16.1.0.10/tcp/4747":                 true,
		"/ip4/16.2.0.10/tcp/4747":                 false,
		"/dns4/relay.example.com/tcp/443/tls/ws":  true,
		"/dns4/direct.example.com/tcp/443/tls/ws": false,
		"/dns4/rig.local/tcp/4747":                false,
		"/ip4/192.168.1.7/tcp/4747":               false,
		"/ip4/127.0.0.1/tcp/4747":                 false,
		"/ip6/fd00::7/tcp/4747":                   false,
		"/ip6/2600::7/tcp/4747":                   true,
	} {
		if got := p.For(multiaddr.StringCast(a)); got != want {
			t.Errorf("%s through the proxy: %v, want %v", a, got, want)
		}
	}
	if (*Proxy)(nil).For(multiaddr.StringCast("/ip4/16.1.0.10/tcp/4747")) {
		t.Error("no proxy is one")
	}
	if o := newOpener(Config{Proxy: p, OwnNames: true}); o.named(multiaddr.StringCast("/dns4/relay.example.com/tcp/443")) {
		t.Error("the proxy resolves a name whose addresses may be forbidden")
	}
}

func TestProxyFromEnvironment(t *testing.T) {
	all := []string{"HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "all_proxy", "http_proxy", "no_proxy"}
	for _, tt := range []struct {
		env  map[string]string
		want string // empty: none
	}{
		{nil, ""},
		{map[string]string{"all_proxy": "socks5h://10.0.0.1"}, "socks5h://10.0.0.1:1080"},
		{map[string]string{"http_proxy": "10.0.0.1", "ALL_PROXY": "socks5://me:secret@b:9"}, "socks5://me:xxxxx@b:9"},
		{map[string]string{"https_proxy": "https://c", "ALL_PROXY": "socks5://b:9"}, "https://c:443"},
		{map[string]string{"HTTP_PROXY": "http://d:3128/"}, "http://d:3128/"},
	} {
		for _, name := range all {
			t.Setenv(name, tt.env[name])
		}
		p, err := ProxyFromEnvironment()
		if err != nil || (p == nil) != (tt.want == "") || p != nil && p.String() != tt.want {
			t.Errorf("%v: got %v, %v, want %q", tt.env, p, err, tt.want)
		}
	}
	for _, bad := range []string{"ftp://me:secret@b", "http://", "http://me:sec%zzret@b"} {
		t.Setenv("HTTPS_PROXY", bad)
		if p, err := ProxyFromEnvironment(); err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY") || strings.Contains(err.Error(), "ret@") {
			t.Errorf("%s: got %v, %v", bad, p, err)
		}
	}
}
