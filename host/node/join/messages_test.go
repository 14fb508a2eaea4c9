package join

import (
	"testing"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/membership"
)

func TestAckBounds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		record int
		ok     bool
	}{{"longest record", book.MaxRecord, true}, {"record", book.MaxRecord + 1, false}} {
		a := Ack{Members: []membership.Contact{{Record: make([]byte, tt.record)}}}
		if err := a.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
