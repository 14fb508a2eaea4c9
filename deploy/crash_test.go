package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// crashEnv makes the test binary a worker that dies at the step with that number.
const crashEnv = "SWARM_TEST_DEPLOY_CRASH"

// crashChild deploys the bundle in the directory of its second argument to the store of its first,
// and kills itself on the way, without any chance to tidy up.
func crashChild() {
	at, err := strconv.Atoi(os.Getenv(crashEnv))
	if err != nil {
		os.Exit(2)
	}
	s, err := OpenStore(StoreConfig{Dir: os.Args[1], Keep: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	n := 0
	s.step = func(string) {
		if n == at {
			self, _ := os.FindProcess(os.Getpid())
			_ = self.Kill() // SIGKILL
			select {}
		}
		n++
	}
	b, err := Open(os.Args[2], "app", 0)
	if err == nil {
		body := b.Body()
		defer body.Close()
		_, err = s.Apply(context.Background(), b.Manifest, body)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(0)
}

// TestKilledAtEveryStep kills a worker with SIGKILL at each step of a deployment. Afterwards the
// old release or the new one is in place, whole; the next start leaves nothing behind; and the same
// deployment then succeeds.
func TestKilledAtEveryStep(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	before, after := bundleOf(t, "app", oldTree), bundleOf(t, "app", newTree)
	sawOld, sawNew := false, false
	for step := 0; ; step++ {
		s := newStore(t, StoreConfig{})
		apply(t, s, before)
		child := exec.Command(self, s.cfg.Dir, after.dir)
		child.Env = append(os.Environ(), crashEnv+"="+strconv.Itoa(step))
		out, err := child.CombinedOutput()
		if code := child.ProcessState.ExitCode(); code == 2 {
			t.Fatalf("step %d: %v: %s", step, err, out)
		}
		_, release, currentErr := s.Current("app")
		switch {
		case currentErr != nil:
			t.Fatalf("step %d: %v", step, currentErr)
		case release == before.Manifest.Release:
			sawOld = true
			checkCurrent(t, s, "app", oldTree)
		default:
			sawNew = true
			checkCurrent(t, s, "app", newTree)
		}
		s = newStore(t, StoreConfig{Dir: s.cfg.Dir})
		checkTidy(t, s, "app")
		apply(t, s, after)
		checkCurrent(t, s, "app", newTree)
		checkTidy(t, s, "app")
		if err == nil { // the child came to its end
			t.Logf("%d steps", step)
			if step < 6 || !sawOld || !sawNew {
				t.Errorf("%d steps, old seen %v, new seen %v: the test does not test", step, sawOld, sawNew)
			}
			return
		}
	}
}

// TestLeftoversGo: what a killed upload left is removed at the next start, and nothing else.
func TestLeftoversGo(t *testing.T) {
	s := newStore(t, StoreConfig{})
	apply(t, s, bundleOf(t, "app", oldTree))
	dir := filepath.Join(s.cfg.Dir, "app")
	if err := os.MkdirAll(filepath.Join(dir, stagingPrefix+"123", "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".current.tmp-X"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = newStore(t, StoreConfig{Dir: s.cfg.Dir})
	checkTidy(t, s, "app")
	checkCurrent(t, s, "app", oldTree)
}
