package durable

import (
	"fmt"
	"os"
)

// damagedEnding is what the name of a file that was set aside ends in.
const damagedEnding = ".damaged"

// SetAside takes a damaged file out of the way, so that a good one can be written in
// its place and a person can look at it: it gets the ending ".damaged". Of each file
// the last such copy is kept. It returns where the file is now.
func SetAside(path string) (string, error) {
	to := path + damagedEnding
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("set a damaged file aside: %w", err)
	}
	return to, nil
}
