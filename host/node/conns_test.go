package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// serveWeb serves who calls over HTTP until the test ends.
func serveWeb(t *testing.T, n *node.Node) {
	t.Helper()
	ln, err := n.Listener("web", "web.read")
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := n.WhoCalls(r.RemoteAddr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "%s %s %v %v %v", who.Name, who.Role, who.Labels, who.Member, who.Rights)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		must(t, srv.Close())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// get asks over HTTP, with the peer ID as the name of the server.
func get(t *testing.T, from *node.Node, to peer.ID) (string, error) {
	t.Helper()
	web := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		name, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		id, err := peer.Decode(name)
		if err != nil {
			return nil, err
		}
		return from.Dial(ctx, id, "web")
	}}
	defer web.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+to.String()+"/", nil)
	must(t, err)
	res, err := (&http.Client{Transport: web}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func TestHTTPInAFleet(t *testing.T) {
	f := newFounder(t)
	rig := f.member(trust.RoleWorker, "rig-01")
	serveWeb(t, rig)
	friend := f.member(trust.RoleViewer, "friend", func(g *trust.Grant) {
		g.Labels = map[string]string{"site": "home"}
		g.Also = []trust.Right{{Verbs: []string{"run"}, On: "gpu=3080"}, {Verbs: []string{"web.write"}}}
	})
	other := f.member(trust.RoleWorker, "rig-02")
	stranger := newNode(t, node.Config{})
	for _, n := range []*node.Node{friend, other, stranger} {
		must(t, n.Connect(t.Context(), info(rig)))
	}
	// The right to run is for other machines than this one.
	body, err := get(t, friend, rig.ID())
	if want := "friend viewer map[site:home] true [*.read web.write]"; err != nil || body != want {
		t.Errorf("got %q, %v, want %q", body, err, want)
	}
	if _, err := get(t, other, rig.ID()); !errors.Is(err, streams.ErrForbidden) {
		t.Errorf("a member without the right got %v", err)
	}
	if _, err := get(t, stranger, rig.ID()); err == nil || errors.Is(err, streams.ErrUnsupported) {
		t.Errorf("a stranger got %v", err)
	}
	// The connection that is revoked under way ends, and no other is opened.
	f.revoke(rig, friend.ID())
	waitFor(t, "the end of the rights of the friend", func() bool {
		_, err := get(t, friend, rig.ID())
		return err != nil
	})
}

func TestHTTPWithoutAFleet(t *testing.T) {
	key, id := newKey(t)
	server := newNode(t, node.Config{Judge: trust.NewOpen(id)})
	must(t, server.Book().Put(book.Entry{Peer: id, Name: "bob", Labels: map[string]string{"at": "desk"}}))
	serveWeb(t, server)
	bob := newNode(t, node.Config{Host: host.Config{Identity: key}})
	must(t, bob.Connect(t.Context(), info(server)))
	body, err := get(t, bob, server.ID())
	if want := "bob  map[at:desk] true [*]"; err != nil || body != want {
		t.Errorf("got %q, %v, want %q", body, err, want)
	}
	if _, err := bob.Dial(t.Context(), server.ID(), "other"); !errors.Is(err, streams.ErrUnsupported) {
		t.Errorf("a name that nobody listens for: %v", err)
	}
	stranger := newNode(t, node.Config{})
	must(t, stranger.Connect(t.Context(), info(server)))
	if _, err := stranger.Dial(t.Context(), server.ID(), "web"); !errors.Is(err, streams.ErrForbidden) {
		t.Errorf("a stranger got %v", err)
	}
}

func TestListenerRules(t *testing.T) {
	n := newNode(t, node.Config{})
	for _, tt := range []struct {
		name string
		verb streams.Verb
		want string // in the error
	}{
		{"", "web.read", "needs a name"},
		{"Web", "web.read", "[a-z0-9_]"},
		{strings.Repeat("a", 60), "web.read", "64"},
		{"web", "", "no verb"},
		{"web", streams.VerbPublic, "cannot be public"},
	} {
		if _, err := n.Listener(tt.name, tt.verb); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q for %q: %v, want %q in it", tt.name, tt.verb, err, tt.want)
		}
	}
	l, err := n.Listener(strings.Repeat("a", 59), "web.read")
	must(t, err)
	must(t, l.Close())
}

func TestWhoIsOthers(t *testing.T) {
	n := newNode(t, node.Config{})
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	if _, err := n.WhoIs(ours); !errors.Is(err, node.ErrNotOurs) {
		t.Errorf("a pipe is of %v", err)
	}
	if _, err := n.WhoCalls("192.0.2.1:4711"); !errors.Is(err, node.ErrNotOurs) {
		t.Errorf("TCP is of %v", err)
	}
	_, id := newKey(t)
	who, err := n.WhoCalls(id.String())
	must(t, err)
	if who.Peer != id || who.Member || who.Name != "" || len(who.Rights) > 0 || who.May("stats.read") == nil {
		t.Errorf("a stranger is %+v", who)
	}
}
