package forward

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// BenchmarkThroughput carries 64 MiB to the machine: over a plain stream of libp2p, and over a forwarded
// connection with TCP on both sides.
func BenchmarkThroughput(b *testing.B) {
	const size = 64 << 20
	for _, transport := range []string{overTCP, overQUIC} {
		b.Run("stream"+transport, func(b *testing.B) {
			worker, laptop := newHost(b, transport), newHost(b, transport)
			done := make(chan struct{})
			worker.SetStreamHandler("/raw", func(s network.Stream) {
				io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, make([]byte, mostPiece))
				s.Close()
				done <- struct{}{}
			})
			must(b, laptop.Connect(context.Background(), peer.AddrInfo{ID: worker.ID(), Addrs: worker.Addrs()}))
			b.SetBytes(size)
			for b.Loop() {
				s, err := laptop.NewStream(context.Background(), worker.ID(), "/raw")
				must(b, err)
				writeAll(b, s, size)
				must(b, s.CloseWrite())
				<-done
			}
		})
		b.Run("forward"+transport, func(b *testing.B) {
			s := newSite(b, transport)
			done := make(chan struct{})
			addr, _ := s.local(b, listen(b, func(c *net.TCPConn) {
				io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, mostPiece))
				done <- struct{}{}
			}))
			b.SetBytes(size)
			for b.Loop() {
				c := dialTCP(b, addr)
				writeAll(b, c, size)
				must(b, c.Close())
				<-done
			}
		})
	}
}

func writeAll(b *testing.B, w io.Writer, size int) {
	buf := make([]byte, mostPiece)
	for size > 0 {
		n, err := w.Write(buf)
		must(b, err)
		size -= n
	}
}
