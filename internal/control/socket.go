package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

// SocketPath is where the long-lived controller of a state directory listens
// for commands of this machine.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, "serve.sock") }

// ErrServing says that a long-lived controller runs with this state directory
// already.
var ErrServing = errors.New("a controller serves with this state directory already")

// listenSocket opens the socket for this user only. One that a killed process
// left behind is replaced.
func listenSocket(path string) (net.Listener, error) {
	if err := socketFree(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("replace the socket of an earlier controller: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for commands: %w", err), l.Close())
	}
	return ownListener{l}, nil
}

// socketFree returns ErrServing where a controller listens, with an [*Unresponsive] if it does not
// answer.
func socketFree(path string) error {
	r, err := dial(context.Background(), path, GreetWithin)
	if err == nil {
		return errors.Join(fmt.Errorf("%w: %s answers", ErrServing, path), r.Close())
	}
	if silent, ok := errors.AsType[*Unresponsive](err); ok {
		return fmt.Errorf("%w: %w", ErrServing, silent)
	}
	return nil
}

// ownListener lets in only processes of our own user.
type ownListener struct{ net.Listener }

func (l ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || ownPeer(conn) {
			return conn, err
		}
		conn.Close()
	}
}

// dialSocket returns an HTTP client that speaks to the socket.
func dialSocket(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}
