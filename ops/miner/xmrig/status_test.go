package xmrig

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzSummary reads any answer an impostor at the port could give.
func FuzzSummary(f *testing.F) {
	for _, name := range []string{"summary1.json", "summary2.json", "backends.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"hashrate":{"total":[null]},"connection":{"uptime":-1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSummary(b)
		if st := s.status(); st.State == "" || err != nil && st.HashRate != nil {
			t.Errorf("got %+v, %v", st, err)
		}
	})
}
