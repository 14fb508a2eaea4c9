package usage

import "testing"

func TestParagraphs(t *testing.T) {
	got := Paragraphs("one two\nthree four\n\n  kept   as it is, however long\nfive", 10)
	if want := "one two\nthree four\n\n  kept   as it is, however long\nfive"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Paragraphs("…… …… …… …… a", 11), "…… …… …… ……\na"; got != want {
		t.Errorf("columns are not bytes: got %q, want %q", got, want)
	}
}

func TestExamples(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"  swarm stats", "  swarm stats"},
		{"  swarm start rig-01 --miner xmrig --pool x:1", "  swarm start rig-01 --miner xmrig \\\n      --pool x:1"},
		{"  swarm grant friend --verbs 'a b c d e f g h i'", "  swarm grant friend \\\n      --verbs 'a b c d e f g h i'"},
		{"  swarm peers add /ip4/192.0.2.7/tcp/4747/p2p/12D3KooWxxx", "  swarm peers add \\\n      /ip4/192.0.2.7/tcp/4747/p2p/12D3KooWxxx"},
		{"  unbreakableunbreakableunbreakableunbreakable", "  unbreakableunbreakableunbreakableunbreakable"},
	} {
		if got := Examples(tt.text, 38); got != tt.want {
			t.Errorf("got\n%s\nwant\n%s", got, tt.want)
		}
	}
}
