package host

import (
	"testing"
)

// BenchmarkNew is what a command-line process pays before it can dial.
func BenchmarkNew(b *testing.B) {
	dir := b.TempDir()
	b.ReportAllocs()
	for b.Loop() {
		h, err := New(Config{StateDir: dir, NoListen: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
