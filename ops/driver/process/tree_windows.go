package process

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// terminals says that no terminal can control a session here, and users that no process is another user's.
const (
	terminals = false
	users     = false
)

// become is for other systems.
func become(*syscall.SysProcAttr, *driver.User) {}

// tree is a job object. It ends all its processes when its last handle closes, so also when the
// agent is killed. A process that the first one starts before it is put into the job escapes: the
// job would have to be given at creation, which os/exec can not do.
type tree struct {
	pid int // set once by adopt, before anyone else sees the tree

	mu  sync.Mutex
	job windows.Handle // guarded by mu: zero once closed
}

func (t *tree) prepare(spec driver.Spec, _ Driver) error { return noLimits(spec.Limits) }

func (t *tree) enter() (leave func() error, err error) { return func() error { return nil }, nil }

func (t *tree) ungroup() bool     { return false }
func (t *tree) outOfMemory() bool { return false }

func (t *tree) attributes() *syscall.SysProcAttr {
	// A group of its own, so that the break event of ask reaches the workload and not the agent.
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}

func (t *tree) adopt(pid int) error {
	t.pid = pid
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return fmt.Errorf("create job object: %w", err)
	}
	if err := fillJob(job, pid); err != nil {
		_ = windows.CloseHandle(job)
		return err
	}
	t.job = job
	return nil
}

// fillJob makes the job end with its handle and puts the process into it.
func fillJob(job windows.Handle, pid int) error {
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		return fmt.Errorf("limit job object: %w", err)
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer windows.CloseHandle(process)
	if err := windows.AssignProcessToJobObject(job, process); err != nil {
		return fmt.Errorf("put process %d into its job: %w", pid, err)
	}
	return nil
}

// ask sends the break event, which console programs may act on.
func (t *tree) ask() { _ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(t.pid)) }

func (t *tree) kill() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.job != 0 {
		_ = windows.TerminateJobObject(t.job, 1)
	}
}

// killWithFirst leaves all to cmd.Wait and sweep.
func (t *tree) killWithFirst() {}

func (t *tree) sweep() {
	for end := time.Now().Add(sweepTime); t.active() > 0 && time.Now().Before(end); time.Sleep(sweepPause) {
		t.kill()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = windows.CloseHandle(t.job)
	t.job = 0
}

// jobAccounting is JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
type jobAccounting struct {
	TotalUserTime, TotalKernelTime           int64
	ThisPeriodUserTime, ThisPeriodKernelTime int64
	PageFaults, Processes, Active, Ended     uint32
}

// active counts the living processes of the job.
func (t *tree) active() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	const basicAccounting = 1
	var info jobAccounting
	if err := windows.QueryInformationJobObject(t.job, basicAccounting,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)), nil); err != nil {
		return 0
	}
	return info.Active
}

// members knows the first process only.
func (t *tree) members() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.job == 0 {
		return nil
	}
	return []int{t.pid}
}

func signalOf(*os.ProcessState) (name string, number int) { return "", 0 }

// systemEnvironment holds what Windows programs do not start without.
func systemEnvironment() []string {
	root := os.Getenv("SystemRoot")
	return []string{"SystemRoot=" + root, "PATH=" + root + `\System32;` + root}
}
