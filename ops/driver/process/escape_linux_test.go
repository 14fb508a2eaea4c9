package process_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

// A parent that is deaf to SIGTERM has a grandchild that has left the session and lost its parent. After
// Stop nothing of them is left.
func TestStopEndsWhatHasEscaped(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip("there is no setsid here: ", err)
	}
	for _, tt := range []struct {
		name    string
		cgroup  bool
		escaped string
	}{
		{"by its mark", false, "setsid sh -c 'sleep 300 & echo $!' &"},
		{"by its cgroup", true, "env -i setsid sh -c 'sleep 300 & echo $!' &"},
	} {
		for _, how := range []string{"stopped", "by itself"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				if tt.cgroup && !process.MayGroup() {
					t.Skip("NOT TESTED: this system lets no cgroup of version 2 be made")
				}
				var out buffer
				script := "trap '' TERM; echo $$; (" + tt.escaped + " wait); while [ ! -e end ]; do sleep 0.02; done"
				dir := t.TempDir()
				w, err := process.Driver{NoCgroup: !tt.cgroup}.Start(driver.Spec{
					Argv: []string{"/bin/sh", "-c", script}, Dir: dir, Stdout: &out, Stderr: &out,
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
				eventually(t, "the grandchild", func() bool { return len(numbers(out.String())) == 2 })
				escaped := numbers(out.String())[1]
				if !alive(escaped) {
					t.Fatal("the grandchild does not run: this test proves nothing")
				}
				if how == "stopped" {
					began := time.Now()
					if err := w.Stop(t.Context(), time.Second); err != nil || time.Since(began) < time.Second {
						t.Errorf("Stop() = %v after %v", err, time.Since(began))
					}
				} else {
					if err := exec.Command("touch", dir+"/end").Run(); err != nil {
						t.Fatal(err)
					}
					<-w.Done()
				}
				if alive(escaped) || alive(w.PID()) {
					t.Error("something is left")
				}
			})
		}
	}
}

// Two workloads with marks of which one begins with the other's are two.
func TestMarksAreTold(t *testing.T) {
	dir := t.TempDir()
	start := func(mark string) driver.Workload {
		w, err := process.Driver{}.Start(driver.Spec{Argv: []string{"/bin/sleep", "300"}, Dir: dir, Mark: mark})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
		return w
	}
	one, other, below := start(dir+"/a"), start(dir+"/ab"), start(dir+"/a/b")
	above, err := process.Driver{}.Start(driver.Spec{Argv: []string{"/bin/true"}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if <-above.Done(); !alive(one.PID()) || !alive(other.PID()) || !alive(below.PID()) {
		t.Error("the end of one whose mark is above others has ended them")
	}
	if n, err := (process.Driver{}).Sweep(dir + "/a"); n != 2 || err != nil {
		t.Errorf("Sweep() = %d, %v, want the one and that below", n, err)
	}
	<-one.Done()
	<-below.Done()
	if !alive(other.PID()) {
		t.Error("another one was ended")
	}
}
