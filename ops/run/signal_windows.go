package run

import "fmt"

// signalName is never needed: no signal ends a program here.
func signalName(n int) string { return fmt.Sprintf("signal %d", n) }
