package output

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestEscapeJSON(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢 😀":            "plain é 漢 😀",
		"\u009b":                 `\u009b`,
		"\u2028x":                `\u2028x`,
		"\U000e0041\u200b\u007f": `\udb40\udc41\u200b\u007f`,
	} {
		got := escapeJSON([]byte(`"` + in + `"`))
		var back string
		if string(got) != `"`+want+`"` || json.Unmarshal(got, &back) != nil || back != in {
			t.Errorf("%q is written as %s and read as %q, want %s", in, got, back, want)
		}
	}
}

// The number of characters stays, so that columns do.
func TestColumnsStay(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	p.Printf("%-6s|%6.2f|%4d|%q|\n", "a\n\u200bb", 1.5, 7, "x\n")
	w := p.Table("A", "B")
	w.Row("x\ty", "z")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "a \ufffdb  |  1.50|   7|\"x\\n\"|\nA    B\nx y  z\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
