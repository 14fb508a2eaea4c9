package settings

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// Time reads a duration back from now, or RFC 3339, as Unix milliseconds.
func Time(s string) (int64, error) {
	if d, err := span.Parse(s); err == nil {
		return time.Now().Add(-d.Abs()).UnixMilli(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%q: want a duration such as 10m or 7d, or a time such as 2026-11-21T12:00:00Z", s)
	}
	return t.UnixMilli(), nil
}

const maxArgument = 1 << 20 // bytes; no request has more

// Argument returns the text itself, the contents of the file behind @, or with stdin what "-"
// reads.
func Argument(s string, stdin io.Reader) (string, error) {
	r := stdin
	switch {
	case s == "-" && stdin != nil:
	case strings.HasPrefix(s, "@"):
		f, err := os.Open(s[1:])
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	default:
		return s, nil
	}
	b, err := io.ReadAll(io.LimitReader(r, maxArgument+1))
	if err == nil && len(b) > maxArgument {
		err = fmt.Errorf("more than %d bytes", maxArgument)
	}
	if err == nil {
		b, err = durable.Text(b)
	}
	return string(b), err
}
