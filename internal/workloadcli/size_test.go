package workloadcli

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]size{
		"64MiB": 64 << 20, "64m": 64 << 20, "1.5GiB": 3 << 29, "2048": 2048, "512 KiB": 512 << 10,
		"": 0, "0": 0, "-1MiB": 0, "much": 0, "64Mib/s": 0, "NaN": 0, "9999999999999PiB": 0,
	} {
		var s size
		if err := s.Set(text); s != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v; want %d", text, s, err, want)
		}
	}
	if s := size(64 << 20); s.String() != "64MiB" {
		t.Error(s.String())
	}
}
