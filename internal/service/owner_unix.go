//go:build unix

package service

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// OwnerOf returns whom a directory belongs to. The directory itself need not be readable.
func OwnerOf(dir string) (Owner, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return Owner{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Owner{}, fmt.Errorf("%s has no owner that can be told", dir)
	}
	return named(Owner{UID: int(stat.Uid), GID: int(stat.Gid), Other: int(stat.Uid) != os.Geteuid()}), nil
}

// AccountOwner is the user that workers and relays run as.
func AccountOwner() (Owner, error) {
	u, err := user.Lookup(account)
	if err != nil {
		return Owner{}, err
	}
	o := Owner{Name: account, Other: true}
	if _, err := fmt.Sscan(u.Uid+" "+u.Gid, &o.UID, &o.GID); err != nil {
		return Owner{}, err
	}
	return o, nil
}

// Run runs this program as the owner, with these arguments and further variables of the environment,
// and returns its exit code. Only root can. What it writes then has the right owner, and what others
// could have put into the owner's directory is read with the owner's rights only.
func (o Owner) Run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, env []string, args ...string) (int, error) {
	self := "/proc/self/exe" // the file itself may be where the owner may not go
	if runtime.GOOS != "linux" {
		var err error
		if self, err = os.Executable(); err != nil {
			return 0, err
		}
	}
	cmd := exec.Command(self, args...) // a signal of the terminal reaches it too
	cmd.Args[0] = "swarm"
	cmd.WaitDelay = time.Second // for a standard input that is no file, and goes on
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "HOME=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.GID)}}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("go on as the user %s: %w", o.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(os.Interrupt) })
	defer stop()
	if err := cmd.Wait(); cmd.ProcessState == nil {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}
