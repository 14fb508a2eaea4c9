package nearest

import "testing"

func TestWord(t *testing.T) {
	for _, tt := range []struct {
		word  string
		words []string
		want  string
	}{
		{"stats.raed", []string{"logs.read", "stats.read"}, "stats.read"},
		{"memebers", []string{"members", "peers"}, "members"},
		{"rig01", []string{"rig-01", "rig-02"}, "rig-01"},
		{"strat", []string{"stop", "start"}, "start"},
		{"lgos", []string{"logs"}, "logs"},
		{"minr", []string{"name", "miner"}, "miner"},
		{"on", []string{"no"}, "no"},
		{"logs", []string{"logs"}, ""}, // it is known, so something else is wrong with it
		{"nonsense", []string{"stats", "logs"}, ""},
		{"", []string{"a"}, "a"},
		{"x", nil, ""},
	} {
		if got := Word(tt.word, tt.words); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.word, got, tt.want)
		}
	}
	if got := Hint("lgos", []string{"logs"}); got != " (did you mean logs?)" {
		t.Errorf("got %q", got)
	}
}
