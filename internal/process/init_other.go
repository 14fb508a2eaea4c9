//go:build !linux

package process

// AsInit does nothing: programs are not process 1 here.
func AsInit() (code int, done bool) { return 0, false }
