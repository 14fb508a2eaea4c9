// Package boot tells one run of the operating system from another.
package boot
