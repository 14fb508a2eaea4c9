package durable

import (
	"errors"
	"testing"
)

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name, data, want string
		err              error
	}{
		{"plain", "a\nb\n", "a\nb\n", nil},
		{"nothing", "", "", nil},
		{"byte order mark", "\xef\xbb\xbfa\n", "a\n", nil},
		{"two marks: the second is text", "\xef\xbb\xbf\xef\xbb\xbfa", "\xef\xbb\xbfa", nil},
		{"line ends of Windows", "a\r\nb\r\n", "a\nb\n", nil},
		{"UTF-16 with a mark", "\xff\xfea\x00", "", ErrUTF16},
		{"UTF-16, the other way round", "\xfe\xff\x00a", "", ErrUTF16},
		{"UTF-16 without a mark", "a\x00b\x00c\x00", "", ErrUTF16},
		{"zeros", "\x00\x00\x00\x00\x00", "", ErrZeros},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Text([]byte(tt.data)); string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
