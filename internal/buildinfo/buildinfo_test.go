package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestFrom(t *testing.T) {
	stamped := &debug.BuildInfo{
		Main: debug.Module{Version: "v0.0.0-20261130195102-2e7f3f8c6b1a+dirty"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "2e7f3f8c6b1a5b1e"}, {Key: "vcs.time", Value: "2026-11-30T19:51:02Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	for _, tt := range []struct {
		name, release   string
		build           *debug.BuildInfo
		version, source string
	}{
		{"a release", "1.2.3", stamped, "1.2.3", "commit 2e7f3f8c6b1a with changes of 2026-11-30"},
		{"a checkout", "", stamped, "v0.0.0-20261130195102-2e7f3f8c6b1a+dirty", "commit 2e7f3f8c6b1a with changes of 2026-11-30"},
		{"no checkout", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel", ""},
		{"go install", "", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3", ""},
		{"nothing known", "", nil, "devel", ""},
		{"no date", "", &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}}}, "devel", "commit abc"},
	} {
		i := from(tt.release, tt.build)
		if i.Version != tt.version || i.Source() != tt.source {
			t.Errorf("%s: got %q, %q, want %q, %q", tt.name, i.Version, i.Source(), tt.version, tt.source)
		}
	}
}
