package agentlog

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/logs"
)

func TestLinesAreKept(t *testing.T) {
	state := t.TempDir()
	if _, err := Look(state); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing was logged yet: %v", err)
	}
	l, err := Open(state)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var screen strings.Builder
	log := Logger(slog.New(slog.NewTextHandler(&screen, &slog.HandlerOptions{Level: slog.LevelWarn})), l)
	log.Debug("a detail")
	log.With("peer", "p").Info("a peer is there")
	log.Warn("the disk is full")
	beside, err := Look(state)
	if err != nil {
		t.Fatal(err)
	}
	page, err := beside.Tail(logs.Query{Lines: 10})
	if err != nil || len(page.Lines) != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	for i, want := range []string{`level=INFO msg="a peer is there" peer=p`, `level=WARN msg="the disk is full"`} {
		if got := page.Lines[i]; got.Text != want || got.Time == 0 {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	if strings.Contains(screen.String(), "a peer") || !strings.Contains(screen.String(), "disk") {
		t.Errorf("on the terminal: %q", screen.String())
	}
	_ = Logger(slog.New(slog.NewTextHandler(io.Discard, nil)), l).WithGroup("g")
}
