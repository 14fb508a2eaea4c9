package main

import (
	"strings"
	"testing"
)

func TestBothSides(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[0], "xmrig started for <peer.ID ") || lines[1] != "error: which miner?" {
		t.Errorf("got %q", lines)
	}
}
