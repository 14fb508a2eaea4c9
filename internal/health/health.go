// Package health tells a monitor on this machine whether the node is ready.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Default is where GET /ping is answered when no address is named.
const Default = "127.0.0.1:4749"

// Endpoint answers GET /ping on loopback: 200 while the node is ready, 503 while it starts or
// stops. A nil Endpoint answers nobody.
type Endpoint struct {
	server *http.Server
	ready  atomic.Pointer[context.Context]
	serves sync.WaitGroup
}

// Start begins to answer on an address of this machine, like 127.0.0.1:4749, with 503. An empty
// address is no error, and gives nil.
func Start(addr string) (*Endpoint, error) {
	if addr == "" {
		return nil, nil
	}
	at, err := netip.ParseAddrPort(strings.Replace(addr, "localhost:", "127.0.0.1:", 1))
	if err != nil || !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("health address %q: want an address of loopback and a port, for example %s", addr, Default)
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("health endpoint: %w", err)
	}
	h := &Endpoint{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", h.ping)
	h.server = &http.Server{Handler: mux, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10}
	h.serves.Go(func() { h.server.Serve(l) })
	return h, nil
}

// Ready says that the node serves until ctx ends. Where systemd has started this process it is told
// in any case.
func (h *Endpoint) Ready(ctx context.Context) {
	// An error says that systemd does not listen, and what it then thinks changes nothing here.
	daemon.SdNotify(true, daemon.SdNotifyReady)
	if h != nil {
		h.ready.Store(&ctx)
	}
}

// UnderSystemd reports whether systemd has started this process as a service, and waits for its word.
func UnderSystemd() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

func (h *Endpoint) ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch ctx := h.ready.Load(); {
	case ctx == nil:
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "starting\n")
	case (*ctx).Err() != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "stopping\n")
	default:
		io.WriteString(w, "ready\n")
	}
}

// Close ends it.
func (h *Endpoint) Close() error {
	if h == nil {
		return nil
	}
	err := h.server.Close()
	h.serves.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
