package limits

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// readAll reads n bytes and returns how long it took.
func readAll(t *testing.T, c net.Conn, n int) time.Duration {
	t.Helper()
	began := time.Now()
	for b := make([]byte, 32<<10); n > 0; {
		k, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		n -= k
	}
	return time.Since(began)
}

// A stranger is read at the rate of strangers after a burst, and a member as fast as it sends.
func TestStrangersAreReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			for b := make([]byte, 32<<10); ; {
				if _, err := far.Write(b); err != nil {
					return
				}
			}
		}()
		var member atomic.Bool
		c := newSlowConn(near, member.Load, newStrangersLimit())
		if took := readAll(t, c, strangerBurst); took != 0 {
			t.Errorf("the burst took %v", took)
		}
		if took := readAll(t, c, 4*strangerRate); took != 4*time.Second {
			t.Errorf("%d bytes of a stranger took %v, want 4 s", 4*strangerRate, took)
		}
		member.Store(true)
		if took := readAll(t, c, 16<<20); took != 0 {
			t.Errorf("a member waited %v", took)
		}
		c.Close()
	})
}

// Who closes the connection does not wait for a stranger's turn.
func TestSlowConnCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := newSlowConn(near, func() bool { return false }, newStrangersLimit())
		c.limit.ReserveN(time.Now(), strangerBurst)
		go func() { far.Write(make([]byte, strangerBurst)) }()
		began := time.Now()
		time.AfterFunc(time.Millisecond, func() { c.Close() })
		if _, err := c.Read(make([]byte, strangerBurst)); err != nil || time.Since(began) != time.Millisecond {
			t.Errorf("the read ended after %v: %v", time.Since(began), err)
		}
	})
}

// A peer has the limits of a stranger up to the moment when it is a member.
func TestStrangersHaveFewStreams(t *testing.T) {
	var member atomic.Bool
	rm, err := newResourceManager(100, func(peer.ID) bool { return member.Load() })
	if err != nil {
		t.Fatal(err)
	}
	defer rm.Close()
	open := func(n int) (opened int) {
		for range n {
			s, err := rm.OpenStream("peer", network.DirInbound)
			if err != nil {
				return opened
			}
			t.Cleanup(s.Done)
			opened++
		}
		return opened
	}
	if got := open(strangerStreams + 1); got != strangerStreams {
		t.Errorf("a stranger has %d streams, want %d", got, strangerStreams)
	}
	reserve := func(n int) error {
		return rm.ViewPeer("peer", func(s network.PeerScope) error { return s.ReserveMemory(n, network.ReservationPriorityAlways) })
	}
	if err := reserve(strangerMemory + 1); err == nil {
		t.Error("a stranger has more memory than it may")
	}
	if err := reserve(strangerMemory); err != nil {
		t.Errorf("a stranger has less memory than it may: %v", err)
	}
	member.Store(true)
	if got := open(100); got != 100 {
		t.Errorf("a member has %d further streams, want 100", got)
	}
	if err := reserve(64 << 20); err != nil {
		t.Errorf("a member's memory: %v", err)
	}
}

// All strangers together are read at one rate, but for the greeting of each.
func TestStrangersShareARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newStrangersLimit()
		const (
			strangers = 4 * strangersRate / strangerRate
			each      = strangerBurst + 4*strangerRate
		)
		began := time.Now()
		var readers sync.WaitGroup
		for range strangers {
			near, far := net.Pipe()
			go func() {
				for b := make([]byte, 32<<10); ; {
					if _, err := far.Write(b); err != nil {
						return
					}
				}
			}()
			c := newSlowConn(near, func() bool { return false }, all)
			if took := readAll(t, c, strangerBurst); took != 0 {
				t.Errorf("a greeting took %v", took)
			}
			readers.Go(func() {
				defer far.Close()
				defer c.Close()
				readAll(t, c, each-strangerBurst)
			})
		}
		readers.Wait()
		want := time.Duration(strangers*(each-strangerBurst)-strangersBurst) * time.Second / strangersRate
		if took := time.Since(began); took < want-time.Millisecond || took > want+time.Second {
			t.Errorf("it took %v, want %v", took, want)
		}
	})
}

// TestMuxerIsPatient: a link whose queue holds 15 s is slow, and not dead.
func TestMuxerIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c, err := newMuxer(nil).NewConn(near, false, &network.NullScope{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(15 * time.Second) // nothing is read, not even the first measurement
		if c.IsClosed() {
			t.Error("the connection was given up after 15s")
		}
		time.Sleep(muxerPatience)
		synctest.Wait()
		if !c.IsClosed() {
			t.Errorf("the connection is still there after %v", 15*time.Second+muxerPatience)
		}
	})
}
