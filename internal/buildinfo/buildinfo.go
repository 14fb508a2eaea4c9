// Package buildinfo says which build this program is: by its release, else by what the Go toolchain
// wrote into it.
package buildinfo

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
)

// Info is what is known of a build.
type Info struct {
	Version  string `json:"version"`          // the release, or "devel"
	Commit   string `json:"commit,omitzero"`  // of the source
	Date     string `json:"date,omitzero"`    // of the commit, RFC 3339
	Changed  bool   `json:"changed,omitzero"` // the source was not that of the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read returns what is known of this build; release is what its builder calls it, or empty.
func Read(release string) Info {
	build, _ := debug.ReadBuildInfo()
	return from(release, build)
}

func from(release string, build *debug.BuildInfo) Info {
	i := Info{Version: cmp.Or(release, "devel"), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if build == nil {
		return i
	}
	if v := build.Main.Version; release == "" && v != "" && v != "(devel)" {
		i.Version = v
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.time":
			i.Date = s.Value
		case "vcs.modified":
			i.Changed = s.Value == "true"
		}
	}
	return i
}

// Source is the commit and its date in words; empty if they are not known.
func (i Info) Source() string {
	if i.Commit == "" {
		return ""
	}
	text := "commit " + i.Commit[:min(len(i.Commit), 12)]
	if i.Changed {
		text += " with changes"
	}
	if day, _, ok := strings.Cut(i.Date, "T"); ok {
		text += " of " + day
	}
	return text
}
