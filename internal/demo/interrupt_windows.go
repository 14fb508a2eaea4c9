package demo

import "os"

// interrupt ends a process: Windows has no signal to ask with.
func interrupt(p *os.Process) error { return p.Kill() }
