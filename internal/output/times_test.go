package output

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// A moment is RFC 3339 wherever it stands and whoever has sent it, and null where it is not known.
func TestMoments(t *testing.T) {
	for _, tt := range []struct{ give, want string }{
		{`{"time":1795967310257}`, `{"time":"2026-11-29T15:48:30.257Z"}`},
		{`{"payload":{"lines":[{"offset":7,"time":1795967310000,"text":"time"}]}}`,
			`{"payload":{"lines":[{"offset":7,"time":"2026-11-29T15:48:30.000Z","text":"time"}]}}`},
		{`{"expires":"2026-11-29T16:48:30+01:00"}`, `{"expires":"2026-11-29T15:48:30.000Z"}`},
		{`{"lastSeen":0,"since":null,"expires":"0001-01-01T00:00:00Z"}`, `{"lastSeen":null,"since":null,"expires":null}`},
		{`{"labels":{"since":"2026-11-29T15:48:30Z","time":"1"},"time":"soon"}`,
			`{"labels":{"since":"2026-11-29T15:48:30Z","time":"1"},"time":"soon"}`},
		{`["time",1795967310257,{"seq":18446744073709551615,"hashRate":1e3,"uptimeSeconds":1.50}]`,
			`["time",1795967310257,{"seq":18446744073709551615,"hashRate":1e3,"uptimeSeconds":1.50}]`},
		{`{"text":"a\u2028b \"<\u0001"}`, `{"text":"a\u2028b \"<\u0001"}`},
	} {
		var out bytes.Buffer
		s := Std{Stdout: New(&out), JSON: true}
		if err := s.PrintJSON(jsontext.Value(tt.give)); err != nil {
			t.Errorf("%s: %v", tt.give, err)
		}
		if got := out.String(); got != tt.want+"\n" {
			t.Errorf("%s\n became %s\n   want %s", tt.give, got, tt.want)
		}
	}
}
