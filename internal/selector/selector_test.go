package selector

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	rig := map[string]string{"gpu": "3080", "site": "home", "empty": ""}
	for text, want := range map[string]bool{
		"":                             true,
		"gpu":                          true,
		"empty":                        true,
		"tpu":                          false,
		"gpu=3080":                     true,
		"gpu==3080":                    true,
		"gpu = 3080":                   true,
		"gpu=3090":                     false,
		"empty=":                       true,
		"gpu=":                         false,
		"gpu!=3090":                    true,
		"gpu!=3080":                    false,
		"tpu!=v4":                      true, // one that has none has not that one
		"gpu in (3080,3090)":           true,
		"gpu in ( 3070 , 3090 )":       false,
		"gpu in (3080)":                true,
		"tpu in (v4)":                  false,
		"gpu=3080,site=home":           true,
		"gpu=3080,site=cabin":          false,
		"gpu in (3080,3090),site!=bar": true,
		"site in (a,home), gpu":        true,
	} {
		s, err := Parse(text)
		if err != nil || s.Match(rig) != want {
			t.Errorf("%q: got %v, %v, want %v", text, s.Match(rig), err, want)
		}
		if again, err := Parse(s.String()); err != nil || again.Match(rig) != want {
			t.Errorf("%q is printed as %q, which means something else: %v", text, s, err)
		}
	}
}

func TestWhatIsNoSelector(t *testing.T) {
	for text, want := range map[string]string{
		"site:cabin":                         `did you mean site=cabin?`,
		"=x":                                 "want key=value",
		"gpu,":                               "want key=value",
		"gpu in 3080":                        "key in (a,b)",
		"gpu in (3080":                       "not closed",
		"gpu in 3080)":                       "do not fit",
		"gpu in (3080,)":                     "a value is missing",
		"gpu in ((a))":                       "do not fit",
		"gpu(a)":                             "want key=value",
		"gpu 3080":                           "want key=value",
		"gpu=a=b":                            "want key=value",
		"gpu!3080":                           "want key=value",
		"a in (b) in (c)":                    "want key=value",
		"!gpu":                               "want key=value",
		strings.Repeat("a,", maxTerms) + "a": "terms",
		strings.Repeat("a", maxLength+1):     "longer",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, %v, want %q", text, s, err, want)
		}
	}
}

// A second selector narrows: with that one alone a command went to machines that were not meant.
func TestValueNarrows(t *testing.T) {
	var on string
	v := Value{&on}
	for _, text := range []string{"site=home", "gpu in (a,b)"} {
		if err := v.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Parse(v.String())
	if err != nil || s.Match(map[string]string{"gpu": "a", "site": "cabin"}) || !s.Match(map[string]string{"gpu": "a", "site": "home"}) {
		t.Errorf("%q: %v", on, err)
	}
	for _, text := range []string{"", " ", "a b"} {
		if err := v.Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestMissed(t *testing.T) {
	machines := []map[string]string{{"gpu": "3080", "site": "home"}, {"gpu": "3090"}}
	for text, want := range map[string]string{
		"gpu=4090":           "gpu is 3080 or 3090",
		"gpuu=3080":          "none has a label gpuu (did you mean gpu?)",
		"colour":             "none has a label colour",
		"site=cabin":         "site is home everywhere",
		"gpu=3090,site=home": "",
	} {
		s, err := Parse(text)
		if err != nil || s.Missed(machines) != want {
			t.Errorf("%q: got %q, %v, want %q", text, s.Missed(machines), err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"a=b", "a!=b,c in (d,e)", "a in ((", "site:x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(s.String()); err != nil || again.String() != s.String() {
			t.Errorf("%q becomes %q: %v", text, s, err)
		}
	})
}
