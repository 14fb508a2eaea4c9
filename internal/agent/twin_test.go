package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/node/twins"
)

// What "swarm status" is told is of now, and is not whatever lies there.
func TestTwinWarning(t *testing.T) {
	now := time.Now().UnixMilli()
	mark := func(at int64) string { return fmt.Sprintf(`{"seen":%d,"words":"two machines"}`, at) }
	for _, tt := range []struct {
		name, text, want string
	}{
		{"fresh", mark(now), "two machines"},
		{"left behind", mark(now - twinStale.Milliseconds() - 1000), ""},
		{"of a clock that was ahead", mark(now + time.Hour.Milliseconds()), ""},
		{"empty", "", ""},
		{"no JSON", "\x00\x00", ""},
		{"too large", mark(now) + strings.Repeat(" ", maxTwin), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, twinFile), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := TwinWarning(dir); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := TwinWarning(t.TempDir()); got != "" {
		t.Errorf("without a file: %q", got)
	}
	dir := t.TempDir()
	if err := writeTwin(filepath.Join(dir, twinFile), twins.Twin{Addrs: []string{"/ip4/192.0.2.1/tcp/1"}}); err != nil {
		t.Fatal(err)
	}
	if got := TwinWarning(dir); !strings.Contains(got, "192.0.2.1") {
		t.Errorf("what was written is read as %q", got)
	}
}
