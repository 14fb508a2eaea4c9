package gossip

import (
	"errors"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// How much of a peer's pubsub traffic this node looks at. A fleet of 1,500 machines that push stats
// every 5 s makes 300 RPCs a second, if one peer passes all of them on.
const (
	rpcRate  = 300 // RPCs a second: less than 4 % of a core, if all of them subscribe
	rpcBurst = 1000

	rpcBytes     = 512 << 10 // a second; the RPCs above have 210 KiB
	rpcByteBurst = 2 << 20
	// What one RPC may hold. Beyond, it is dropped. A message counts as an RPC of its own, and so
	// do some of what costs less. An honest newcomer asks for what the mesh has sent in three
	// seconds, and is answered in RPCs of 128 KiB.
	rpcMessages = 512
	rpcHeard    = 5000 // IDs that the sender has: what gossipsub looks at, at most
	rpcWanted   = 2048 // IDs that it wants, or does not want
	// rpcControls is all else: subscriptions to 64 topics, and a few for each topic that there is.
	rpcControls = 128
	rpcItems    = 64 // of these count as one

)

// meteredStream is a stream of RPCs, each behind its length. It is read no faster than the peer's
// budget allows, so that a peer which sends more waits, and does not delay others at the goroutine
// that handles all RPCs.
type meteredStream struct {
	network.Stream
	budget *rate.Limiter // of RPCs
	bytes  *rate.Limiter
	count  rpcCounter
}

func (s *meteredStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b[:min(len(b), rpcByteBurst)])
	time.Sleep(s.bytes.ReserveN(time.Now(), n).Delay())
	if began := s.count.add(b[:n]); began > 0 {
		for ; began > 0; began -= rpcBurst {
			time.Sleep(s.budget.ReserveN(time.Now(), min(began, rpcBurst)).Delay())
		}
	}
	return n, err
}

// rpcCounter finds where RPCs begin in a stream of them.
type rpcCounter struct {
	left   uint64 // bytes of the RPC
	length uint64 // as far as its bytes have come
	shift  int    // of the next byte of length
}

// add returns how many RPCs have begun in b. A length that makes no sense is left to the decoder.
func (c *rpcCounter) add(b []byte) (began int) {
	for len(b) > 0 {
		if c.left > 0 {
			skip := min(c.left, uint64(len(b)))
			c.left -= skip
			b = b[skip:]
			continue
		}
		if c.shift == 0 {
			began++
		}
		if c.shift < 64 {
			c.length |= uint64(b[0]&0x7f) << c.shift
		}
		c.shift += 7
		if b[0] < 0x80 {
			c.left, c.length, c.shift = c.length, 0, 0
		}
		b = b[1:]
	}
	return began
}

var errFullRPC = errors.New("an RPC holds more than an honest one does")

// inspect drops RPCs that hold more than an honest one does, and charges the sender for each by
// what it holds: what it sends next is read later.
func (h *pubsubHost) inspect(from peer.ID, rpc *pubsub.RPC) error {
	cost, err := weigh(&rpc.RPC)
	if cost > 0 {
		h.rpcs.Of(from).ReserveN(time.Now(), min(cost, rpcBurst))
	}
	return err
}

// weigh returns for how many RPCs one counts, besides itself.
func weigh(rpc *pb.RPC) (cost int, err error) {
	c := rpc.GetControl()
	messages := len(rpc.GetPublish())
	heard, wanted := 0, 0
	controls := len(c.GetIhave()) + len(c.GetIwant()) + len(c.GetGraft()) + len(c.GetPrune()) + len(c.GetIdontwant())
	for _, x := range c.GetIhave() {
		heard += len(x.GetMessageIDs())
	}
	for _, x := range c.GetIwant() {
		wanted += len(x.GetMessageIDs())
	}
	for _, x := range c.GetIdontwant() {
		wanted += len(x.GetMessageIDs())
	}
	for _, x := range c.GetPrune() {
		controls += len(x.GetPeers())
	}
	subscriptions := len(rpc.GetSubscriptions()) // each is work in several places
	if messages > rpcMessages || heard > rpcHeard || wanted > rpcWanted || controls+subscriptions > rpcControls {
		err = errFullRPC
	}
	return max(0, messages-1) + subscriptions + (heard+wanted+controls)/rpcItems, err
}
