package contract_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/test/contract"
)

const document = "../../docs/json.md"

func members(t *testing.T) contract.Members {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	m, err := contract.New(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The lines that the document shows keep to its own table.
func TestLinesShown(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n *```json\n(.*?)\n *```\n").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 5 {
		t.Fatalf("found %d blocks", len(blocks))
	}
	m := members(t)
	for _, b := range blocks {
		for line := range strings.Lines(b[1]) {
			if err := m.Check([]byte(line)); err != nil {
				t.Errorf("%v: %s", err, line)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	m := members(t)
	for _, tt := range []struct{ line, want string }{
		{`{"peer":"12D3","labels":{"anything":"2026-11-29T15:48:30Z"},"lastSeen":null}`, ""},
		{`{"lastSeen":1795967310257}`, "/lastSeen is"},
		{`{"lastSeen":"2026-11-29T16:48:30+01:00"}`, "/lastSeen is"},
		{`{"payload":{"workloads":[{"hash_rate":1}]}}`, "/payload/workloads/hash_rate is not in the table"},
		{`{"ok":false,"error":"offline"}`, "/error is offline"},
		{`{"error":{"code":503,"message":"offline"}}`, "an error without ok"},
		{`text`, "no object"},
	} {
		err := m.Check([]byte(tt.line))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.line, err, tt.want)
		}
	}
}
