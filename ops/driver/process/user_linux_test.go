package process_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

// A workload of another user has that one's numbers, and the name that it is given.
func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root becomes another user")
	}
	if _, err := exec.LookPath("id"); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	var out buffer
	w, err := process.Driver{}.Start(driver.Spec{
		Argv: []string{"/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G)"}, Dir: "/", Stdout: &out,
		User: &driver.User{UID: 65534, GID: 65533, Groups: []uint32{7}},
	})
	if err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	if got, want := strings.TrimSpace(out.String()), "65534 65533 65533 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out = buffer{}
	w, err = process.Driver{}.Start(driver.Spec{
		Argv: []string{"/bin/sh", "-c", `tr '\0' ' ' < /proc/$$/cmdline`}, Name: "-sh", Dir: "/", Stdout: &out,
	})
	if err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	if !strings.HasPrefix(out.String(), "-sh ") {
		t.Errorf("it is called %q", out.String())
	}
}
