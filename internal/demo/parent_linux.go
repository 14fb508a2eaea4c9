package demo

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the child with the demo, however that ends.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
