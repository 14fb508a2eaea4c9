package deploy

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// unixModes says that files have permission bits here.
const unixModes = false

// Making a symbolic link needs a special right on Windows, so current is a small file that holds
// the release.
const (
	currentName = "current"
	maxCurrent  = 1 << 10
)

func readCurrent(dir string) (string, error) {
	text, err := durable.ReadFile(filepath.Join(dir, currentName), maxCurrent)
	if err != nil {
		return "", err
	}
	base := strings.TrimSpace(string(text))
	if base == "" || base == ".." || base != filepath.Base(base) {
		return "", fmt.Errorf("%s holds %q, which we did not write", currentName, shorten(base))
	}
	return base, nil
}

func writeCurrent(dir, release string) error {
	return durable.WriteFile(filepath.Join(dir, currentName), []byte(release+"\n"), 0o600)
}
