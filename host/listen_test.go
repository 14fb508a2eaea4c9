package host

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/multiformats/go-multiaddr"
)

// occupy takes a port of all interfaces, if nobody has it.
func occupy(port int) (release func()) {
	l, err := net.Listen("tcp", fmt.Sprint(":", port))
	if err != nil {
		return func() {}
	}
	return func() { l.Close() }
}

// defaultPort starts a host without Listen addresses and returns the port it has taken.
func defaultPort(t *testing.T, dir string) int {
	t.Helper()
	return loggedPort(t, dir, nil)
}

func loggedPort(t *testing.T, dir string, log *slog.Logger) int {
	t.Helper()
	h, err := New(Config{StateDir: dir, DHT: DHTOff, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	ports := map[string]bool{}
	for _, a := range h.Listening() {
		for _, code := range []int{multiaddr.P_TCP, multiaddr.P_UDP} {
			if port, err := a.ValueForProtocol(code); err == nil {
				ports[port] = true
			}
		}
	}
	if len(ports) != 1 {
		t.Fatalf("listens on %v, want one port for TCP and QUIC", h.Listening())
	}
	for port := range ports {
		n, _ := strconv.Atoi(port)
		return n
	}
	return 0
}

func savedText(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, portFile))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// A port that is taken is told once, as a warning, with the one that took its place: somebody has
// let the first one through a firewall.
func TestTakenPortIsWarnedOf(t *testing.T) {
	defer occupy(DefaultPort)()
	var log bytes.Buffer
	warnings := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	dir := t.TempDir()
	port := loggedPort(t, dir, warnings)
	if want := fmt.Sprintf("taken=%d port=%d", DefaultPort, port); strings.Count(log.String(), want) != 1 {
		t.Errorf("got %q, want %q once", log.String(), want)
	}
	log.Reset()
	if loggedPort(t, dir, warnings) != port || log.Len() > 0 {
		t.Errorf("the second time: %q", log.String())
	}
}

// TestDefaultPort: when 4747 is taken another port is chosen once, and then again and again.
func TestDefaultPort(t *testing.T) {
	defer occupy(DefaultPort)()
	dir := t.TempDir()
	first := defaultPort(t, dir)
	if first == DefaultPort || savedText(t, dir) != fmt.Sprint(first) {
		t.Fatalf("took port %d and saved %q, want another than %d, saved", first, savedText(t, dir), DefaultPort)
	}
	if again := defaultPort(t, dir); again != first {
		t.Errorf("took port %d the second time, want %d", again, first)
	}
	release := occupy(first)
	second := defaultPort(t, dir)
	release()
	if second == first || savedText(t, dir) != fmt.Sprint(second) {
		t.Errorf("took port %d and saved %q, want another than %d, saved", second, savedText(t, dir), first)
	}
	for _, nonsense := range []string{"", "x", "0", "65536", "-1"} {
		if err := os.WriteFile(filepath.Join(dir, portFile), []byte(nonsense), 0o600); err != nil {
			t.Fatal(err)
		}
		if port := defaultPort(t, dir); port == DefaultPort {
			t.Errorf("saved %q: took port %d, which is taken", nonsense, port)
		}
	}
}

func TestMDNSServiceName(t *testing.T) {
	tests := map[string]string{
		"/swarm":                  "_swarm._udp",
		"/swarm/0123456789abcdef": "_swarm0123456789._udp",
		"/My_Net":                 "_mynet._udp",
	}
	for prefix, want := range tests {
		if got := mdnsService(prefix); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}
