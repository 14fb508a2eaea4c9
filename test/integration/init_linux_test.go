package integration

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Where the worker is process 1, as in a container without another one, orphans do not stay as zombies,
// and the signal that ends the container ends the worker in order.
func TestWorkerAsProcessOne(t *testing.T) {
	if err := exec.Command("unshare", "--pid", "--fork", "true").Run(); err != nil {
		t.Skip("SKIPPED: no namespaces of processes: ", err)
	}
	cmd := exec.Command("unshare", "--pid", "--fork", program, "worker", "--state", t.TempDir(), "--listen", anyPort, "--mdns=false", "--json")
	cmd.Env = environment(t)
	log := new(buffer)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := make(chan error, 1)
	defer func() { cmd.Process.Kill(); <-ended }()
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { ended <- cmd.Wait() }()
	if err != nil || !strings.Contains(line, `"ready"`) {
		t.Fatalf("%q, %v: %s", line, err, log)
	}
	one := childrenOf(t, cmd.Process.Pid)[0]
	// A process whose parent ends at once is a child of process 1 from then on, and ends itself.
	must(t, exec.Command("nsenter", "--target", fmt.Sprint(one), "--pid", "sh", "-c", "(sleep 1 &)").Run())
	waitFor(t, "the orphan to be a child of process 1", func() bool { return len(childrenOf(t, one)) == 2 })
	waitFor(t, "the orphan to be gone", func() bool { return len(childrenOf(t, one)) == 1 })
	must(t, syscall.Kill(one, syscall.SIGTERM))
	select {
	case err := <-ended:
		ended <- err
		if err != nil {
			t.Errorf("it ended with %v: %s", err, log)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("SIGTERM did not end it")
	}
}

// childrenOf are the processes below one, zombies included.
func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(t, err)
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for word := range strings.FieldsSeq(string(text)) {
			var child int
			fmt.Sscan(word, &child)
			pids = append(pids, child)
		}
	}
	return pids
}
