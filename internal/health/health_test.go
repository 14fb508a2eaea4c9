package health

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	h, err := Start(addr)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (int, string) {
		t.Helper()
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := c.Get("http://" + addr + "/ping")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, strings.TrimSpace(string(b))
	}
	if code, text := ask(); code != 503 || text != "starting" {
		t.Errorf("before it is ready: %d %s", code, text)
	}
	ctx, stop := context.WithCancel(t.Context())
	h.Ready(ctx)
	if code, text := ask(); code != 200 || text != "ready" {
		t.Errorf("ready: %d %s", code, text)
	}
	stop()
	if code, text := ask(); code != 503 || text != "stopping" {
		t.Errorf("while it stops: %d %s", code, text)
	}
	if _, err := Start(addr); err == nil {
		t.Error("two at one address")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"0.0.0.0:4749", "192.0.2.1:1", "example.org:1", ":4749", "127.0.0.1"} {
		if _, err := Start(bad); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	var none *Endpoint
	none.Ready(t.Context())
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}
