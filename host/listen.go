package host

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	portFile      = "port"
	portAttempts  = 16
	maxPortNumber = 1<<16 - 1
	maxPortText   = 64 // bytes of the file
)

// ErrAddrInUse comes from Listen when another program, perhaps a second node, has the port. Choose
// another address.
var ErrAddrInUse = errors.New("address is in use")

// Listen opens the configured addresses; from then on others can connect, so register the stream
// handlers first. All configured addresses must work. With NoListen, and when listening already, it
// does nothing.
func (h *Host) Listen() error {
	if h.life.Err() != nil {
		return ErrClosed
	}
	return h.listen.start()
}

// listener opens addresses, and remembers the port.
type listener struct {
	host corehost.Host
	cfg  Config
	log  *slog.Logger

	mu sync.Mutex // serializes start
}

func (l *listener) start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.NoListen || len(l.open()) > 0 {
		return nil
	}
	if len(l.cfg.Listen) == 0 {
		return l.listenDefault()
	}
	for _, a := range l.cfg.Listen {
		if err := l.listenOn(a); err != nil {
			l.stop()
			return err
		}
	}
	return nil
}

func (l *listener) open() []multiaddr.Multiaddr {
	return slices.DeleteFunc(l.host.Network().ListenAddresses(), route.IsCircuit)
}

// listenDefault takes the saved port, else 4747, else a free one, which it saves.
func (l *listener) listenDefault() error {
	saved, taken := l.savedPort(), 0
	for _, port := range []int{saved, DefaultPort} {
		if port == 0 {
			continue
		}
		err := l.listenPort(port)
		if !errors.Is(err, ErrAddrInUse) {
			l.warnTaken(taken, port, err)
			return err
		}
		taken = cmp.Or(taken, port)
	}
	for range portAttempts {
		port, err := freePort()
		if err != nil {
			return err
		}
		if err := l.listenPort(port); !errors.Is(err, ErrAddrInUse) {
			l.warnTaken(taken, port, err)
			if saved := l.savePort(port); saved != nil { // another can be chosen; the machine has to be reached
				l.log.Warn("the port could not be saved", "port", port, "err", saved)
			}
			return err
		}
	}
	return fmt.Errorf("%w: no free port after %d attempts", ErrAddrInUse, portAttempts)
}

// warnTaken says that the node listens on another port than it did, or would have: a firewall or a
// router that lets the first one through has to learn of it.
func (l *listener) warnTaken(taken, port int, err error) {
	if taken != 0 && taken != port && err == nil {
		l.log.Warn("the port is in use by another program, so this node listens on another one: "+
			"a firewall or a router has to let that through", "taken", taken, "port", port)
	}
}

// listenPort opens TCP, and QUIC where there is no network key, on one port of all interfaces. A
// machine without IPv6 is no error.
func (l *listener) listenPort(port int) error {
	quic := func(s string) bool { return len(l.cfg.NetworkKey) > 0 && strings.Contains(s, "/quic-v1") }
	for _, s := range slices.DeleteFunc([]string{"/ip4/0.0.0.0/udp/%d/quic-v1", "/ip4/0.0.0.0/tcp/%d"}, quic) {
		if err := l.listenOn(multiaddr.StringCast(fmt.Sprintf(s, port))); err != nil {
			l.stop()
			return err
		}
	}
	for _, s := range slices.DeleteFunc([]string{"/ip6/::/udp/%d/quic-v1", "/ip6/::/tcp/%d"}, quic) {
		if err := l.listenOn(multiaddr.StringCast(fmt.Sprintf(s, port))); err != nil {
			l.log.Debug("not listening on IPv6", "err", err)
		}
	}
	return nil
}

func (l *listener) listenOn(a multiaddr.Multiaddr) error {
	if err := l.host.Network().Listen(a); err != nil {
		if isInUse(err) {
			return &inUseError{addr: a, err: err}
		}
		return fmt.Errorf("listen on %s: %w", a, err)
	}
	return nil
}

// isInUse also reads the text, because libp2p's listeners do not wrap the cause.
func isInUse(err error) bool {
	return errors.Is(err, errAddrInUse) || strings.Contains(err.Error(), errAddrInUse.Error())
}

func (l *listener) stop() {
	if n, ok := l.host.Network().(interface{ ListenClose(...multiaddr.Multiaddr) }); ok {
		n.ListenClose(l.open()...)
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// savedPort returns 0 when there is none that makes sense: then the default is tried.
func (l *listener) savedPort() int {
	if l.cfg.StateDir == "" {
		return 0
	}
	text, err := durable.ReadFile(filepath.Join(l.cfg.StateDir, portFile), maxPortText)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.log.Warn("the saved port cannot be read, going on without", "err", err)
		}
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || port < 1 || port > maxPortNumber {
		aside, _ := durable.SetAside(filepath.Join(l.cfg.StateDir, portFile))
		l.log.Warn("the saved port makes no sense, going on without",
			"text", string(text[:min(len(text), 16)]), "file", aside)
		return 0
	}
	return port
}

func (l *listener) savePort(port int) error {
	if l.cfg.StateDir == "" {
		return nil
	}
	return durable.WriteFile(filepath.Join(l.cfg.StateDir, portFile), []byte(strconv.Itoa(port)+"\n"), 0o600)
}

// inUseError says in one line that a port is taken, and keeps what the system said.
type inUseError struct {
	addr multiaddr.Multiaddr
	err  error
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("listen on %s: another program has this port", e.addr)
}

func (e *inUseError) Unwrap() []error { return []error{ErrAddrInUse, e.err} }
