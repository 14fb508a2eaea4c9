//go:build !linux

package demo

import "os/exec"

// dieWithParent does nothing where the system has no such thing: a demo that is
// killed there leaves its workers behind.
func dieWithParent(*exec.Cmd) {}
