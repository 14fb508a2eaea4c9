package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// ReadCounts returns what was counted in dir since a time, the oldest minute first and by peer
// within it. Lines that a crash has torn are passed over. What is not written yet
// ([Counters.Flush]) is not among them.
func ReadCounts(dir string, since time.Time) ([]Count, error) {
	type key struct {
		minute int64
		peer   string
	}
	sums := make(map[key]uint64)
	path := countsPath(dir)
	for _, p := range []string{path + olderEnding, path} {
		err := readCounts(p, func(c Count) {
			if since.IsZero() || c.Minute >= since.Truncate(time.Minute).UnixMilli() {
				sums[key{c.Minute, c.Peer}] += c.Count
			}
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read audit counters: %w", err)
		}
	}
	out := make([]Count, 0, len(sums))
	for k, n := range sums {
		out = append(out, Count{Minute: k.minute, Peer: k.peer, Count: n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.Peer, b.Peer))
	})
	return out, nil
}

// Refused is how many requests of a peer were refused.
type Refused struct {
	Peer  string `json:"peer"` // a peer ID, or Others
	Count uint64 `json:"count"`
	Last  int64  `json:"last"` // Unix milliseconds of the minute of the last one
}

// maxRefused is how many peers are named.
const maxRefused = 16

// ReadRefused returns who was refused in dir since a time, the most frequent first and 16 peers at
// most.
func ReadRefused(dir string, since time.Time) (out []Refused, err error) {
	counts, err := ReadCounts(dir, since)
	for _, c := range counts {
		i := slices.IndexFunc(out, func(r Refused) bool { return r.Peer == c.Peer })
		if i < 0 {
			i, out = len(out), append(out, Refused{Peer: c.Peer})
		}
		out[i].Count, out[i].Last = out[i].Count+c.Count, c.Minute
	}
	slices.SortStableFunc(out, func(a, b Refused) int { return cmp.Compare(b.Count, a.Count) })
	return out[:min(len(out), maxRefused)], err
}

// Text is the count in a line for people.
func (r Refused) Text() string {
	return fmt.Sprintf("refused %d requests of %s, the last at %s",
		r.Count, r.Peer, time.UnixMilli(r.Last).UTC().Format(time.DateTime))
}

func readCounts(path string, each func(Count)) error {
	f, err := durable.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := newLines(f); ; {
		line, err := r.next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, errLong):
			continue
		case err != nil:
			return err
		}
		var c Count
		if json.Unmarshal(line, &c) == nil {
			each(c)
		}
	}
}
