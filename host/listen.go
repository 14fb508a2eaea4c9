package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	portFile      = "port"
	portAttempts  = 16
	maxPortNumber = 1<<16 - 1
	maxPortText   = 64 // bytes of the file
)

// ErrAddrInUse comes from Listen when another program, perhaps a second node, has a wanted port. Choose another address.
var ErrAddrInUse = errors.New("address is in use")

// Listen opens the configured addresses; from then on others can connect, so register the stream handlers first. All
// configured addresses must work. With NoListen, and when listening already, it does nothing.
func (h *Host) Listen() error {
	h.listening.Lock()
	defer h.listening.Unlock()
	if h.life.Err() != nil {
		return ErrClosed
	}
	if h.cfg.NoListen || len(h.Listening()) > 0 {
		return nil
	}
	if len(h.cfg.Listen) == 0 {
		return h.listenDefault()
	}
	for _, a := range h.cfg.Listen {
		if err := h.listenOn(a); err != nil {
			h.stopListening()
			return err
		}
	}
	return nil
}

// Listening are the addresses that are open, without that of circuits, which the library always has.
func (h *Host) Listening() []multiaddr.Multiaddr {
	return slices.DeleteFunc(h.Network().ListenAddresses(), isCircuit)
}

// listenDefault takes the saved port, else 4747, else a free one, which it saves.
func (h *Host) listenDefault() error {
	saved := h.savedPort()
	for _, port := range []int{saved, DefaultPort} {
		if port == 0 {
			continue
		}
		err := h.listenPort(port)
		if !errors.Is(err, ErrAddrInUse) {
			return err
		}
		h.log.Info("port is in use, taking another", "port", port)
	}
	for range portAttempts {
		port, err := freePort()
		if err != nil {
			return err
		}
		if err := h.listenPort(port); !errors.Is(err, ErrAddrInUse) {
			if saved := h.savePort(port); saved != nil { // it can be chosen anew, and the machine has to be reached
				h.log.Warn("the port could not be saved", "port", port, "err", saved)
			}
			return err
		}
	}
	return fmt.Errorf("%w: no free port after %d attempts", ErrAddrInUse, portAttempts)
}

// listenPort opens TCP, and QUIC where there is no network key, on one port of all interfaces. A machine without IPv6 is no error.
func (h *Host) listenPort(port int) error {
	quic := func(s string) bool { return len(h.cfg.NetworkKey) > 0 && strings.Contains(s, "/quic-v1") }
	for _, s := range slices.DeleteFunc([]string{"/ip4/0.0.0.0/udp/%d/quic-v1", "/ip4/0.0.0.0/tcp/%d"}, quic) {
		if err := h.listenOn(multiaddr.StringCast(fmt.Sprintf(s, port))); err != nil {
			h.stopListening()
			return err
		}
	}
	for _, s := range slices.DeleteFunc([]string{"/ip6/::/udp/%d/quic-v1", "/ip6/::/tcp/%d"}, quic) {
		if err := h.listenOn(multiaddr.StringCast(fmt.Sprintf(s, port))); err != nil {
			h.log.Debug("not listening on IPv6", "err", err)
		}
	}
	return nil
}

func (h *Host) listenOn(a multiaddr.Multiaddr) error {
	if err := probe(a); err != nil {
		return fmt.Errorf("listen on %s: %w", a, err)
	}
	if err := h.Network().Listen(a); err != nil {
		if isInUse(err) {
			err = errors.Join(ErrAddrInUse, err)
		}
		return fmt.Errorf("listen on %s: %w", a, err)
	}
	return nil
}

// probe tells whether a TCP port is taken. The library opens TCP listeners so that they can be shared (SO_REUSEPORT): a second
// process would get every other connection of the first and nobody would be told.
func probe(a multiaddr.Multiaddr) error {
	network, address, err := manet.DialArgs(a)
	if err != nil || !strings.HasPrefix(network, "tcp") || strings.HasSuffix(address, ":0") {
		return nil
	}
	l, err := net.Listen(network, address)
	switch {
	case err == nil:
		return l.Close()
	case isInUse(err):
		return ErrAddrInUse
	}
	return err
}

// isInUse also reads the text, because libp2p's listeners do not wrap the cause.
func isInUse(err error) bool {
	return errors.Is(err, errAddrInUse) || strings.Contains(err.Error(), errAddrInUse.Error())
}

func (h *Host) stopListening() {
	if n, ok := h.Network().(interface{ ListenClose(...multiaddr.Multiaddr) }); ok {
		n.ListenClose(h.Listening()...)
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
func (h *Host) savedPort() int {
	if h.cfg.StateDir == "" {
		return 0
	}
	text, err := durable.ReadFile(filepath.Join(h.cfg.StateDir, portFile), maxPortText)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			h.log.Warn("the saved port cannot be read, going on without", "err", err)
		}
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || port < 1 || port > maxPortNumber {
		aside, _ := durable.SetAside(filepath.Join(h.cfg.StateDir, portFile))
		h.log.Warn("the saved port makes no sense, going on without", "text", string(text[:min(len(text), 16)]), "file", aside)
		return 0
	}
	return port
}

func (h *Host) savePort(port int) error {
	if h.cfg.StateDir == "" {
		return nil
	}
	return durable.WriteFile(filepath.Join(h.cfg.StateDir, portFile), []byte(strconv.Itoa(port)+"\n"), 0o600)
}
