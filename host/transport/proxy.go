package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// ErrProxy means that a proxy cannot be used: it does not answer, wants another password, or forbids
// what is asked. That it does not reach the peer is no such error.
var ErrProxy = errors.New("the proxy cannot be used")

// maxAnswer bounds what a proxy says before the tunnel is open, in bytes.
const maxAnswer = 16 << 10

// Proxy is a proxy through which peers outside of the local network are dialled: HTTP CONNECT or
// SOCKS5. It resolves the names in their addresses.
type Proxy struct {
	url  *url.URL
	uses func(*url.URL) (*url.URL, error) // nothing where NO_PROXY has the address
}

// NewProxy returns the proxy with a URL such as http://user:password@proxy.example:3128, https://…,
// socks5://… or socks5h://…; without a scheme it is http. noProxy lists hosts, domains and networks
// that are dialled directly, as NO_PROXY does.
func NewProxy(text, noProxy string) (*Proxy, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("proxy: its URL cannot be read; want for example http://proxy.example:3128") // err has the password
	}
	port, known := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	if !known || u.Hostname() == "" {
		return nil, fmt.Errorf("proxy %s: want http://, https:// or socks5://, and a host", u.Redacted())
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	rules := httpproxy.Config{HTTPSProxy: "http://" + u.Host, NoProxy: noProxy}
	return &Proxy{url: u, uses: rules.ProxyFunc()}, nil
}

// ProxyFromEnvironment returns the proxy of HTTPS_PROXY, else ALL_PROXY, else HTTP_PROXY, in upper or
// lower case, without the hosts of NO_PROXY. It is nil where none of them is set.
func ProxyFromEnvironment() (*Proxy, error) {
	get := func(name string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return os.Getenv(strings.ToLower(name))
	}
	for _, name := range []string{"HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"} {
		if v := get(name); v != "" {
			p, err := NewProxy(v, get("NO_PROXY"))
			if err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", name, err)
			}
			return p, nil
		}
	}
	return nil, nil
}

// String is the URL without the password.
func (p *Proxy) String() string { return p.url.Redacted() }

// For reports whether an address is dialled through the proxy. Machines of the local network are
// not: a proxy leads out of it.
func (p *Proxy) For(a multiaddr.Multiaddr) bool {
	if p == nil || !manet.IsPublicAddr(a) {
		return false
	}
	_, at, err := manet.DialArgs(a)
	if err != nil {
		return false
	}
	u, err := p.uses(&url.URL{Scheme: "https", Host: at})
	return err == nil && u != nil
}

// dial opens a tunnel to an address through the proxy. forward dials the proxy itself.
func (p *Proxy) dial(ctx context.Context, at string, forward dialFunc) (net.Conn, error) {
	toProxy := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := forward(ctx, network, addr)
		if err != nil {
			return nil, p.failed("does not answer", lastCause(err), ErrProxy)
		}
		return c, nil
	}
	if strings.HasPrefix(p.url.Scheme, "socks5") {
		return p.socks(ctx, at, toProxy)
	}
	c, err := toProxy(ctx, "tcp", p.url.Host)
	if err != nil {
		return nil, err
	}
	if p.url.Scheme == "https" {
		c = tls.Client(c, &tls.Config{ServerName: p.url.Hostname(), NextProtos: []string{"http/1.1"}})
	}
	if err := p.connect(ctx, c, at); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect asks for a tunnel by HTTP, RFC 9110, section 9.3.6.
func (p *Proxy) connect(ctx context.Context, c net.Conn, at string) error {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: at}, Host: at, Header: http.Header{}}
	if user := p.url.User; user != nil {
		password, _ := user.Password()
		basic := base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+basic)
	}
	answer, err := exchange(c, req)
	switch {
	case ctx.Err() != nil:
		return p.failed("does not answer", ctx.Err(), ErrProxy)
	case err != nil:
		return p.failed("speaks no HTTP", lastCause(err), ErrProxy)
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode >= http.StatusBadGateway && answer.StatusCode <= http.StatusGatewayTimeout:
		return p.failed("does not reach it", errors.New(answer.Status), nil)
	}
	return p.failed("refused", errors.New(answer.Status), ErrProxy)
}

// exchange sends a request and reads the head of the answer, and not one byte more: what follows it
// belongs to the tunnel.
func exchange(c net.Conn, req *http.Request) (*http.Response, error) {
	if err := req.Write(c); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(io.LimitReader(byteReader{c}, maxAnswer)), req)
}

// byteReader reads one byte at a time, so that a bufio.Reader has never read ahead.
type byteReader struct{ io.Reader }

func (r byteReader) Read(b []byte) (int, error) { return r.Reader.Read(b[:min(len(b), 1)]) }

// socks asks for a tunnel by SOCKS5, RFC 1928.
func (p *Proxy) socks(ctx context.Context, at string, forward dialFunc) (net.Conn, error) {
	var auth *proxy.Auth
	if user := p.url.User; user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", p.url.Host, auth, forward)
	if err != nil {
		return nil, p.failed("cannot be used", err, ErrProxy)
	}
	c, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", at)
	if _, ours := errors.AsType[*ProxyError](err); err == nil || ours {
		return c, err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // the library gives the connection the context's
		return nil, p.failed("does not answer", context.DeadlineExceeded, ErrProxy)
	}
	cause := lastCause(err)
	if reply, ok := strings.CutPrefix(cause.Error(), "unknown error "); ok { // the library's words for a reply
		if strings.Contains(reply, "not allowed") {
			return nil, p.failed("refused", errors.New(reply), ErrProxy)
		}
		return nil, p.failed("does not reach it", errors.New(reply), nil)
	}
	return nil, p.failed("refused", cause, ErrProxy)
}

// ProxyError says what became of a dial through a proxy.
type ProxyError struct {
	Proxy string // its host and port
	What  string // it did
	Cause error

	kind error // ErrProxy where the proxy is to blame
}

// failed blames nobody where the caller has ended the dial.
func (p *Proxy) failed(what string, cause, kind error) error {
	if errors.Is(cause, context.Canceled) {
		return context.Canceled
	}
	return &ProxyError{Proxy: p.url.Host, What: what, Cause: cause, kind: kind}
}

func (e *ProxyError) Error() string {
	if errors.Is(e.Cause, context.DeadlineExceeded) {
		return fmt.Sprintf("the proxy at %s %s", e.Proxy, e.What)
	}
	return fmt.Sprintf("the proxy at %s %s: %v", e.Proxy, e.What, e.Cause)
}

// Unwrap returns the cause, and ErrProxy where the proxy is to blame.
func (e *ProxyError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.Cause}
	}
	return []error{e.kind, e.Cause}
}

// lastCause is the innermost error: those around it name addresses that are known.
func lastCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// dialFunc dials as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Dial is part of proxy.Dialer.
func (f dialFunc) Dial(network, addr string) (net.Conn, error) {
	return f(context.Background(), network, addr)
}

// DialContext is part of proxy.ContextDialer.
func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}
