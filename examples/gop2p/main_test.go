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
	const want = `miner: none
line 1
line 2
the last line
refused: 400: payload: which miner?
refused: 404: there is no miner xmr
xmrig 1000
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}
