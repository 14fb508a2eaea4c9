package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	coretransport "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const closeTime = 100 * time.Millisecond // for saying goodbye

// WebSocket is the library's transport, and dials as this package does: through a proxy where there
// is one, and whoever has signed the certificate.
type WebSocket struct {
	*websocket.WebsocketTransport
	upgrade
	open opener
}

// NewWebSocket returns the constructor of a WebSocket for libp2p.Transport. It listens with TLS if
// certificate is not nil.
func NewWebSocket(cfg Config, certificate Certificate) any {
	return func(u coretransport.Upgrader, r network.ResourceManager, shared *tcpreuse.ConnMgr) (*WebSocket, error) {
		var options []websocket.Option
		if certificate != nil {
			options = append(options, websocket.WithTLSConfig(&tls.Config{GetCertificate: certificate}))
		}
		t, err := websocket.New(u, r, shared, options...)
		if err != nil {
			return nil, err
		}
		return &WebSocket{t, upgrade{u, r}, newOpener(cfg)}, nil
	}
}

// SkipResolve reports whether the proxy resolves the name in an address.
func (t *WebSocket) SkipResolve(_ context.Context, a multiaddr.Multiaddr) bool {
	return t.open.named(a)
}

// Dial connects with a peer.
func (t *WebSocket) Dial(ctx context.Context, a multiaddr.Multiaddr, p peer.ID) (coretransport.CapableConn, error) {
	return t.connect(ctx, t, a, p, func(ctx context.Context) (manet.Conn, error) {
		return t.stream(ctx, a)
	})
}

// stream opens a stream of bytes over WebSocket.
func (t *WebSocket) stream(ctx context.Context, a multiaddr.Multiaddr) (manet.Conn, error) {
	var raw placed
	open := func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := t.open.open(ctx, a)
		if err != nil {
			return nil, err
		}
		if raw, err = place(c, a); err != nil {
			c.Close()
		}
		return c, err
	}
	dialer := ws.Dialer{
		NetDialContext: open,
		NetDialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := open(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			coat := tls.Client(c, coatOf(a))
			if err := coat.HandshakeContext(ctx); err != nil {
				c.Close()
				return nil, err
			}
			return coat, nil
		},
	}
	c, answer, err := dialer.DialContext(ctx, urlOf(a), http.Header{})
	if errors.Is(err, ws.ErrBadHandshake) && answer != nil {
		return nil, errors.New("a web server is there: " + answer.Status)
	}
	if err != nil {
		return nil, err
	}
	return &stream{Conn: c, placed: raw}, nil
}

// urlOf is the URL for an address. Its host is for the server to read: the address is dialled.
func urlOf(a multiaddr.Multiaddr) string {
	scheme, host := "ws://", serverName(a)
	if hasTLS(a) {
		scheme = "wss://"
	}
	_, at, err := manet.DialArgs(a)
	if err != nil {
		return ""
	}
	if host != "" {
		_, port, _ := net.SplitHostPort(at)
		at = net.JoinHostPort(host, port)
	}
	return scheme + at
}

func hasTLS(a multiaddr.Multiaddr) bool {
	for _, c := range a {
		if code := c.Protocol().Code; code == multiaddr.P_TLS || code == multiaddr.P_WSS {
			return true
		}
	}
	return false
}

// serverName is the name of the server in an address: what it says for TLS, else its DNS name;
// nothing where it has only an IP address.
func serverName(a multiaddr.Multiaddr) string {
	for _, code := range []int{multiaddr.P_SNI, multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6} {
		if name, err := a.ValueForProtocol(code); err == nil {
			return name
		}
	}
	return ""
}

// stream is a WebSocket connection as a stream of bytes, for one reader and one writer at a time, as
// Noise has them.
type stream struct {
	*ws.Conn
	placed
	message io.Reader // what is left of the one being read; nil between two
}

// Read is part of net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	for {
		if s.message == nil {
			kind, r, err := s.NextReader()
			if err != nil {
				if ws.IsCloseError(err, ws.CloseNormalClosure, ws.CloseGoingAway) {
					err = io.EOF
				}
				return 0, err
			}
			if kind != ws.BinaryMessage {
				continue
			}
			s.message = r
		}
		n, err := s.message.Read(b)
		if err == io.EOF {
			s.message, err = nil, nil
		}
		if n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
	}
}

// Write is part of net.Conn.
func (s *stream) Write(b []byte) (int, error) {
	if err := s.WriteMessage(ws.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close says goodbye if that takes no time, and closes the connection below TLS, whose own goodbye
// may take 5 s.
func (s *stream) Close() error {
	goodbye := ws.FormatCloseMessage(ws.CloseNormalClosure, "")
	_ = s.WriteControl(ws.CloseMessage, goodbye, time.Now().Add(closeTime))
	return s.placed.Close()
}

// SetDeadline is part of net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline is part of net.Conn.
func (s *stream) SetReadDeadline(t time.Time) error { return s.Conn.SetReadDeadline(t) }

// SetWriteDeadline is part of net.Conn.
func (s *stream) SetWriteDeadline(t time.Time) error { return s.Conn.SetWriteDeadline(t) }

// LocalAddr is part of net.Conn.
func (s *stream) LocalAddr() net.Addr { return s.placed.LocalAddr() }

// RemoteAddr is part of net.Conn.
func (s *stream) RemoteAddr() net.Addr { return s.placed.RemoteAddr() }
