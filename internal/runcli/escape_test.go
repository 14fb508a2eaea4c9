package runcli

import "testing"

// What is typed reaches the machine, but ~. at the beginning of a line, in one piece or key by key.
func TestEscape(t *testing.T) {
	for _, tt := range []struct {
		typed, pass string
		leaves      bool
	}{
		{"", "", false},
		{"ls\r", "ls\r", false},
		{"~.", "", true},
		{"~.rest", "", true},
		{"ls\r~.", "ls\r", true},
		{"ls\n~.", "ls\n", true},
		{"a~.", "a~.", false},
		{"~~.", "~.", false},
		{"~~~.", "~~.", false},
		{"\r~~\r~.", "\r~\r", true},
		{"~a.", "~a.", false},
		{"~\r~.", "~\r", true},
		{"~\x03", "~\x03", false},
		{"\r\r~x~.", "\r\r~x~.", false},
		{"é\r~.", "é\r", true},
	} {
		for _, size := range []int{1, 2, len(tt.typed) + 1} {
			var e escape
			var got []byte
			left := false
			for typed := []byte(tt.typed); len(typed) > 0 && !left; {
				n := min(size, len(typed))
				var pass []byte
				pass, left = e.next(typed[:n])
				got = append(got, pass...)
				typed = typed[n:]
			}
			if string(got) != tt.pass || left != tt.leaves {
				t.Errorf("%q by %d: got %q, %v; want %q, %v", tt.typed, size, got, left, tt.pass, tt.leaves)
			}
		}
	}
	var e escape // a ~ waits for what follows
	if pass, _ := e.next([]byte("~")); len(pass) != 0 {
		t.Errorf("~ alone gives %q", pass)
	}
	if pass, _ := e.next([]byte("q")); string(pass) != "~q" {
		t.Errorf("then q gives %q", pass)
	}
}
