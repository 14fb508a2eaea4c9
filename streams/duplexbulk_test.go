package streams

import (
	"bytes"
	"context"
	"io"
	"testing"
)

// What is written by way of Bulk arrives as it is, in both directions and at once.
func TestConnBulk(t *testing.T) {
	for _, on := range []string{overTCP, overQUIC} {
		t.Run(on, func(t *testing.T) {
			p := newPairOn(t, on, allowAll)
			want := bytes.Repeat([]byte("much "), 1<<20)
			both := func(c *Conn) error {
				w, end := c.Bulk(context.Background())
				defer end()
				sent := make(chan error, 1)
				go func() {
					_, err := w.Write(want)
					if err == nil {
						err = c.CloseWrite()
					}
					sent <- err
				}()
				got, err := io.ReadAll(c)
				if err == nil && !bytes.Equal(got, want) {
					t.Errorf("%d bytes arrived of %d", len(got), len(want))
				}
				if fault := <-sent; err == nil {
					err = fault
				}
				if err == nil {
					err = c.Close()
				}
				return err
			}
			must(t, tunnel.Handle(p.mux, func(_ context.Context, _ Peer, _ greeting, accept func() (*Conn, error)) error {
				c, err := accept()
				if err != nil {
					return err
				}
				return both(c)
			}))
			c, err := tunnel.Dial(t.Context(), p.client, p.server.ID(), greeting{Text: "x"})
			must(t, err)
			must(t, both(c))
		})
	}
}
