//go:build unix

package policy

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCheckCopy(t *testing.T) {
	const enable = " (policy.json: cp); the owner of this machine allows it with: --enable cp=DIR"
	for _, tt := range []struct {
		dirs, path, dir, rel, refusal string
	}{
		{"/srv", "/srv", "/srv", ".", ""},
		{"/srv", "/srv/", "/srv", ".", ""},
		{"/srv", "", "/srv", ".", ""},
		{"/srv", "/srv/a/b", "/srv", "a/b", ""},
		{"/srv", "a/./b", "/srv", "a/b", ""},
		{"/srv", "/srv/a/../c/", "/srv", "c", ""},
		{"/", "/etc/x", "/", "etc/x", ""},
		{"/ /srv/a /srv", "/srv/a/b", "/srv/a", "b", ""},
		{"/ /srv/a /srv", "/srv/ab", "/srv", "ab", ""},
		{"", "/srv", "", "", "the owner allows nothing to be copied"},
		{"/srv", "/srv2", "", "", `"/srv2" is in none of the directories that the owner allows: /srv`},
		{"/srv", "/srv/..", "", "", `"/" is in none of the directories that the owner allows: /srv`},
		{"/srv/a", "../x", "", "", `"/srv/x" is in none of the directories that the owner allows: /srv/a`},
		{"/srv /opt", "a", "", "", `"a" is not the whole path, and the owner allows several directories: /srv, /opt`},
	} {
		dir, rel, err := Policy{Copy: strings.Fields(tt.dirs)}.CheckCopy(tt.path)
		if tt.refusal != "" {
			if !errors.Is(err, ErrRefused) || err.Error() != tt.refusal+enable {
				t.Errorf("%s in %s: %v, want %s", tt.path, tt.dirs, err, tt.refusal)
			}
		} else if err != nil || dir != tt.dir || rel != tt.rel {
			t.Errorf("%s in %s: %q, %q, %v", tt.path, tt.dirs, dir, rel, err)
		}
	}
}

func TestEnableCopy(t *testing.T) {
	for word, want := range map[string]Policy{
		"cp=/srv/,cp=/opt/a b": {Copy: []string{"/srv", "/opt/a b"}}, "cp=/srv,cp=/srv": {Copy: []string{"/srv"}}, "cp=srv": {}, "cp=": {}, "cp": {},
		"cp=/" + strings.Repeat("x", MaxItem-1): {Copy: []string{"/" + strings.Repeat("x", MaxItem-1)}}, "cp=/" + strings.Repeat("x", MaxItem): {},
	} {
		var p Policy
		if err := p.Enable(word); !reflect.DeepEqual(p, want) || (err == nil) != (len(want.Copy) > 0) {
			t.Errorf("%s: %+v, %v", word, p, err)
		}
	}
	for _, dir := range []string{"/srv/", "/srv/../etc", "srv", "", "/srv\n", "/\xff"} {
		if err := (Policy{Copy: []string{dir}}).Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", dir, err)
		}
	}
	if s := (Policy{Copy: []string{"/srv", "/opt"}}).Status(); s.String() != "copies from and to /srv, /opt" {
		t.Error(s.String())
	}
}
