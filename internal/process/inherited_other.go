//go:build !linux

package process

// KeepInherited does nothing: on this system no file descriptor is inherited unless that is asked
// for.
func KeepInherited() {}
