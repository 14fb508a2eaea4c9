package main

import (
	"os"
	"strings"
	"testing"
)

func TestBothSides(t *testing.T) {
	answer, err := run(t.Context())
	if err != nil || !strings.HasPrefix(answer, "bar, ") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// What a reader has to write is short.
func TestFortyLines(t *testing.T) {
	b, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(b), "\n)\n")
	lines := 0
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > 40 {
		t.Errorf("both sides take %d lines", lines)
	}
}
