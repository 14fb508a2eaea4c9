package rules_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// repair is how a file says that it repairs a library: with the version that has the fault.
var repair = regexp.MustCompile(`(?m)^// A repair of (\S+) (v\S+):`)

// TestRepairsAreOfOurVersions fails when a library that is repaired here has another version: look
// whether it has mended the fault, as the file says how to, and then name the new version or remove the
// file. Each repair stands in docs/upstream.md.
func TestRepairsAreOfOurVersions(t *testing.T) {
	versions, written := read(t, filepath.Join(root, "go.mod")), read(t, filepath.Join(root, "docs/upstream.md"))
	found := 0
	for _, p := range packages(t) {
		for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
			path := p.name() + "/" + name
			for _, m := range repair.FindAllStringSubmatch(read(t, filepath.Join(root, path)), -1) {
				found++
				if !strings.Contains(versions, m[1]+" "+m[2]+"\n") {
					t.Errorf("%s repairs %s %s, and go.mod has another version: is the fault mended?", path, m[1], m[2])
				}
				if !strings.Contains(written, "`"+path+"`") {
					t.Errorf("%s repairs %s, and docs/upstream.md does not name it", path, m[1])
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d repairs: the pattern has lost them", found)
	}
}
