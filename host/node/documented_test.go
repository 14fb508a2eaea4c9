package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/streams"
)

// Each type of message that a node serves by itself is in the table of docs/protocol.md, and there
// is a vector of it and of its reply.
func TestTypesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "protocol.md"))
	must(t, err)
	vectors := vectorTypes(t)
	specs := slices.Concat(newFounder(t).laptop.Mux.Specs(), waiting(t).Mux.Specs())
	for _, s := range specs {
		row, types := fmt.Sprintf("| `%s`", s.Request), []streams.Type{s.Request}
		if s.Reply != "" {
			row, types = fmt.Sprintf("| `%s` → `%s`", s.Request, s.Reply), append(types, s.Reply)
		}
		right := string(s.Verb)
		if s.Verb == streams.VerbPublic {
			right = "public"
		}
		if row += fmt.Sprintf(" | %s | %s", s.Shape, right); !strings.Contains(string(doc), row) {
			t.Errorf("docs/protocol.md has no row %q in the table of section 2", row)
		}
		for _, typ := range types {
			if !vectors[typ] {
				t.Errorf("streams/testdata/vectors has no vector of %s", typ)
			}
		}
	}
	for _, family := range []string{"lifecycle", "join", "peers"} {
		if !slices.ContainsFunc(specs, func(s streams.Spec) bool { return s.Family.Name == family }) {
			t.Errorf("the nodes serve no type of %s", family)
		}
	}
}

// waiting is a machine that waits for a ticket.
func waiting(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.New(node.Config{Host: host.Config{StateDir: t.TempDir(), DHT: host.DHTOff}})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	must(t, n.ServeOffers(make(chan string, 1)))
	return n
}

// vectorTypes are the types of messages that have a vector.
func vectorTypes(t *testing.T) map[streams.Type]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "streams", "testdata", "vectors", "*.json"))
	must(t, err)
	types := make(map[streams.Type]bool)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		must(t, err)
		var file struct {
			Cases []struct {
				Type streams.Type `json:"type"`
			} `json:"cases"`
		}
		must(t, json.Unmarshal(b, &file))
		for _, c := range file.Cases {
			types[c.Type] = true
		}
	}
	return types
}
