// Package agentlog keeps the last lines that a worker itself has logged in its state directory, wherever
// else they go, so that its owner can read them from afar: "swarm logs --agent".
package agentlog

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/seed-b490fa12/swarm/ops/logs"
)

const (
	segmentBytes = 256 << 10
	segments     = 4
)

// Dir is where the lines of the node in a state directory are.
func Dir(state string) string { return filepath.Join(state, "agent") }

// Open opens the lines of the node in a state directory, for the one process that runs it.
func Open(state string) (*logs.Log, error) {
	return logs.Open(Dir(state), logs.Config{SegmentBytes: segmentBytes, Segments: segments})
}

// Kept reports whether the node in a state directory has logged something.
func Kept(state string) bool {
	_, err := os.Stat(Dir(state))
	return err == nil
}

// Look opens them to be read beside the process that runs the node.
func Look(state string) (*logs.Log, error) { return logs.Look(Dir(state)) }

// Logger logs as next does, and from info on into l, too.
func Logger(next *slog.Logger, l *logs.Log) *slog.Logger {
	text := slog.NewTextHandler(l.Writer(logs.Stderr), &slog.HandlerOptions{
		Level: slog.LevelInfo,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{} // each line has its time
			}
			return a
		},
	})
	return slog.New(slog.NewMultiHandler(next.Handler(), text))
}
