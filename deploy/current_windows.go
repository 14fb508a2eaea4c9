package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// unixModes says that files have permission bits here.
const unixModes = false

// Making a symbolic link needs a special right on Windows, so current is a small file that holds the release.
const currentName = "current"

func readCurrent(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, currentName))
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
