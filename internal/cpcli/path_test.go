package cpcli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		system, word, machine, path string
		ok                          bool
	}{
		{"linux", "rig-01:/srv/x", "rig-01", "/srv/x", true},
		{"linux", "rig-01:", "rig-01", "", true},
		{"linux", "rig-01:x:y", "rig-01", "x:y", true},
		{"linux", "x", "", "x", false},
		{"linux", "./a:b", "", "./a:b", false},
		{"linux", "/a:b", "", "/a:b", false},
		{"linux", "a/b:c", "", "a/b:c", false},
		{"linux", ":x", "", ":x", false},
		{"linux", `C:\x`, "", `C:\x`, false},
		{"linux", "C:/x", "C", "/x", true},
		{"windows", "C:/x", "", "C:/x", false},
		{"windows", "C:x", "", "C:x", false},
		{"windows", `rig-01:C:\x`, "rig-01", `C:\x`, true},
		{"linux", "/ip4/192.0.2.1/tcp/4747/p2p/12D3Koo:/srv", "/ip4/192.0.2.1/tcp/4747/p2p/12D3Koo", "/srv", true},
		{"linux", "/ip6/::1/tcp/4747/p2p/12D3Koo:x", "/ip6/::1/tcp/4747/p2p/12D3Koo", "x", true},
		{"linux", "/ip6/::1/tcp/4747/p2p/12D3Koo", "", "/ip6/::1/tcp/4747/p2p/12D3Koo", false},
	} {
		machine, path, ok := split(tt.system, tt.word)
		if machine != tt.machine || path != tt.path || ok != tt.ok {
			t.Errorf("%s on %s: %q, %q, %v", tt.word, tt.system, machine, path, ok)
		}
	}
}

func TestParse(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s := string(filepath.Separator)
	for _, tt := range []struct{ from, to, machine, remote, local string }{
		{"x", "rig:/y", "rig", "/y", dir + s + "x"},
		{"rig:/y", ".", "rig", "/y", dir + s + "."},
		{"rig:/y", "x/", "rig", "/y", dir + s + "x" + s},
		{"..", "rig:", "rig", "", filepath.Dir(dir) + s + "."},
		{"a/../b", "rig:c/", "rig", "c/", dir + s + "b"},
	} {
		y, err := Parse(tt.from, tt.to)
		if err != nil || y.Machine != tt.machine || y.Remote != tt.remote || y.Local != tt.local || y.Sends != strings.HasPrefix(tt.to, "rig") {
			t.Errorf("%s %s: %+v, %v", tt.from, tt.to, y, err)
		}
	}
	for _, tt := range [][2]string{{"x", "y"}, {"rig:x", "rig:y"}, {"", "rig:y"}, {"rig:y", ""}} {
		if y, err := Parse(tt[0], tt[1]); err == nil {
			t.Errorf("%q: %+v", tt, y)
		}
	}
}
