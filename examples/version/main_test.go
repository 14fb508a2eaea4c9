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
	const want = `a node with [2.0.0 1.0.0] meets one with [2.1.0 1.0.0]
   block 7 came in version 2.1.0
a node with [1.0.0] meets one with [2.1.0 1.0.0]
   block 7 came in version 1.0.0
a node with [3.0.0] meets one with [2.1.0 1.0.0]
   501 nothing in common
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}
