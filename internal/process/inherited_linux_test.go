package process

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a supervisor left open is not passed on to workloads; the three usual ones are.
func TestKeepInherited(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/open")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.Dup(int(f.Fd())) // a duplicate is inherited, as what a shell opens is
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	passed := func() bool {
		out, err := exec.CommandContext(t.Context(), "ls", "-l", "/proc/self/fd").Output()
		if err != nil {
			t.Skip("no ls or no /proc: ", err)
		}
		return strings.Contains(string(out), f.Name())
	}
	if !passed() {
		t.Fatal("the file is not inherited before: this test proves nothing")
	}
	KeepInherited()
	if passed() {
		t.Error("the file is inherited")
	}
	for fd := range 3 {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC != 0 {
			t.Errorf("file descriptor %d is not inherited any more", fd)
		}
	}
}
