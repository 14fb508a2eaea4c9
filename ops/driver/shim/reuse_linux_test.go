//go:build slow

package shim_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/driver/shim"
)

// In a process namespace of its own the kernel is had give the number of a killed guard to a stranger, while
// there is no agent. The next agent leaves it alone.
func TestNumberIsUsedAgain(t *testing.T) {
	p := newPlace(t)
	cmd := exec.Command("unshare", "--fork", "--pid", "--mount-proc", "--kill-child", self(t), "agent", "reuse", p.dir)
	out, err := cmd.CombinedOutput()
	switch text := string(out); {
	case strings.Contains(text, "lives"):
	case strings.Contains(text, "NOT TESTED"), strings.Contains(text, "unshare"), err != nil && len(out) == 0:
		t.Skipf("NOT TESTED: %s %v", strings.TrimSpace(text), err)
	default:
		t.Errorf("%v:\n%s", err, text)
	}
}

// reuse is that agent: the first process of its namespace.
func reuse(p place) {
	w, err := (shim.Driver{}).Start(p.spec("exec sleep 300"))
	if err != nil {
		panic(err)
	}
	guard := monitorsOf(p)[0]
	for _, pid := range append(monitorsOf(p), w.PID()) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-w.Done()
	for pid := 1; pid > 0; { // the numbers of zombies are not free
		pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	}
	stranger := takeNumber(guard)
	if stranger == nil {
		fmt.Println("NOT TESTED: the kernel gives no chosen number")
		return
	}
	defer kill(stranger)
	if err := os.Remove(p.keep + "/exit.json"); err != nil { // as if no agent had been there
		panic(err)
	}
	again, err := (shim.Driver{}).Adopt(p.keep)
	if err != nil {
		panic(err)
	}
	if err := again.Stop(context.Background(), 0); err != nil || !again.Exit().Lost {
		panic(fmt.Sprint(err, again.Exit()))
	}
	if alive(guard) {
		fmt.Println("the stranger lives")
	}
}

// takeNumber starts a process with a number; nil where that cannot be.
func takeNumber(pid int) *exec.Cmd {
	for range 1000 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			return nil
		}
		cmd := exec.Command("/bin/sleep", "300")
		if err := cmd.Start(); err != nil {
			return nil
		}
		if cmd.Process.Pid == pid {
			return cmd
		}
		kill(cmd)
	}
	return nil
}
