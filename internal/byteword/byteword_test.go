package byteword

import (
	"slices"
	"strings"
	"testing"
)

// Each byte has a word of its own, and always the same one.
func TestText(t *testing.T) {
	list := strings.Fields(words)
	if len(list) != 256 || len(slices.Compact(slices.Sorted(slices.Values(list)))) != 256 {
		t.Errorf("%d words", len(list))
	}
	if got := Text([]byte{0, 1, 255}); got != "able acid palace" {
		t.Errorf("got %q", got)
	}
	if got := Text(nil); got != "" {
		t.Errorf("of nothing %q", got)
	}
}
