//go:build !linux

package main

// keepInherited does nothing: here no file descriptor is inherited unless that is asked for.
func keepInherited() {}
