package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-b490fa12/swarm/internal/console"
)

// openTerminal opens a pseudo-terminal: what is written to one end is shown at the other.
func openTerminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return screen, tty
}

// A ticket is shown as a QR code on a terminal: it never was, as the output was wrapped.
func TestTicketAsQRCode(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"init", "--no-passphrase", "--name", "laptop", "--state", dir}, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	screen, tty := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	args := []string{"invite", "rig-01", "--state", dir, "--mdns=false", "--listen", "/ip4/127.0.0.1/tcp/0"}
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, strings.NewReader(""), tty, &errs) }()
	var shown strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(shown.String(), "▄▄▄▄▄▄▄") || strings.Count(shown.String(), "\n") < 20 {
		n, err := screen.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, shown.String())
		}
		shown.Write(b[:n])
		select {
		case code := <-done:
			t.Fatalf("exit code %d: %s\n%s", code, errs.String(), shown.String())
		default:
		}
	}
	cancel()
	<-done
}

// The log has colours on a terminal, and none where NO_COLOR says so.
func TestNoColor(t *testing.T) {
	for _, value := range []string{"", "1"} {
		t.Setenv("NO_COLOR", value)
		screen, tty := openTerminal(t)
		e := console.New(nil, tty, tty)
		if err := e.Prepare(newRootCommand(e)); err != nil {
			t.Fatal(err)
		}
		e.Log.Warn("the end")
		b := make([]byte, 4096)
		n, err := screen.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if coloured := bytes.Contains(b[:n], []byte("\x1b[")); coloured == (value != "") {
			t.Errorf("NO_COLOR=%q: %q", value, b[:n])
		}
	}
}
