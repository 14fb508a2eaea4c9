package audit

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The environment of the child that dies.
const (
	childDir  = "AUDIT_TEST_DIR"
	childStep = "AUDIT_TEST_STEP"
)

// crashChild appends, tells each entry that was acknowledged, and kills itself in the third round
// of a step.
func crashChild() {
	deadly, round := os.Getenv(childStep), 0
	l, err := Open(Config{Dir: os.Getenv(childDir), SegmentBytes: MinSegmentBytes, Segments: 3, step: func(name string) {
		if name != deadly {
			return
		}
		if round++; round == 3 {
			self, _ := os.FindProcess(os.Getpid())
			self.Kill()
			select {} // never a step further
		}
	}})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	for i := range 2000 {
		e, err := l.Append(context.Background(), command(i))
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(e.Hash)
	}
	fmt.Println("error: survived")
	os.Exit(1)
}

// TestKilledAtEachStep kills the process at every step of writing and rotating, several times on
// the same log: nothing acknowledged is lost, and the chain holds.
func TestKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"write", "sync", "synced", "create", "anchor", "directory", "created", "drop", "dropped"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for range 3 {
				acked := runChild(t, dir, step)
				l := open(t, dir)
				add(t, l, 1)
				report := verify(t, dir, l.Head())
				l.Close()
				hashes := make(map[string]bool)
				for _, e := range read(t, dir) {
					hashes[e.Hash] = true
				}
				// Rotation may have dropped old entries; of those kept none may be missing.
				tail := acked[max(0, len(acked)-int(report.Entries)/2):]
				if i := slices.IndexFunc(tail, func(h string) bool { return !hashes[h] }); i >= 0 {
					t.Errorf("acknowledged entry %d of the last %d is lost", i, len(tail))
				}
			}
		})
	}
}

// runChild returns the hashes of the entries that the child had acknowledged when it died.
func runChild(t *testing.T, dir, step string) (acked []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childStep+"="+step)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		acked = append(acked, lines.Text())
	}
	if cmd.Wait() == nil {
		t.Error("the child was not killed")
	}
	return acked
}
