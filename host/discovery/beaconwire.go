package discovery

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A beacon datagram: magic, version, kind, the sum of the network's prefix, body. docs/protocol.md
// has it too.
const (
	beaconMagic   = "swbn"
	beaconVersion = 1
	beaconRecord  = 1 // body: a signed peer record
	beaconQuery   = 2 // body: padding up to maxBeacon
	beaconHeader  = len(beaconMagic) + 1 + 1 + len(networkSum{})
	maxBeacon     = 1200 // passes everywhere in one piece
)

var errNotItsKey = errors.New("signed peer record: it is not signed by the key of its peer ID")

// networkSum keeps networks apart without telling their names.
type networkSum [8]byte

func sumOf(prefix string) networkSum {
	sum := sha256.Sum256([]byte(prefix))
	return networkSum(sum[:])
}

func encodeBeacon(kind byte, network networkSum, body []byte) []byte {
	out := make([]byte, 0, beaconHeader+len(body))
	out = append(out, beaconMagic...)
	out = append(out, beaconVersion, kind)
	out = append(out, network[:]...)
	return append(out, body...)
}

// decodeBeacon says what a datagram of our network is, without a look into its body.
func decodeBeacon(datagram []byte, network networkSum) (kind byte, body []byte, ok bool) {
	if len(datagram) < beaconHeader || len(datagram) > maxBeacon {
		return 0, nil, false
	}
	kind, body = datagram[len(beaconMagic)+1], datagram[beaconHeader:]
	ok = bytes.Equal(datagram[:beaconHeader], encodeBeacon(kind, network, nil)) && (kind == beaconRecord || kind == beaconQuery)
	return kind, body, ok
}

// seal makes the datagram that announces h at the first of addrs; nil when there are none.
func seal(h host.Host, network networkSum, addrs []multiaddr.Multiaddr) ([]byte, error) {
	for n := min(len(addrs), maxAnnounced); n > 0; n-- {
		rec := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: h.ID(), Addrs: addrs[:n]})
		env, err := record.Seal(rec, h.Peerstore().PrivKey(h.ID()))
		if err != nil {
			return nil, fmt.Errorf("sign own addresses: %w", err)
		}
		body, err := env.Marshal()
		if err != nil {
			return nil, fmt.Errorf("sign own addresses: %w", err)
		}
		if beaconHeader+len(body) <= maxBeacon {
			return encodeBeacon(beaconRecord, network, body), nil
		}
	}
	return nil, nil
}

// OpenRecord reads a signed peer record, which is a libp2p envelope, and checks that the peer that
// it is about has signed it.
func OpenRecord(envelope []byte) (*peer.PeerRecord, error) {
	var rec peer.PeerRecord
	env, err := record.ConsumeTypedEnvelope(envelope, &rec)
	if err != nil {
		return nil, fmt.Errorf("signed peer record: %w", err)
	}
	if !rec.PeerID.MatchesPublicKey(env.PublicKey) {
		return nil, errNotItsKey
	}
	return &rec, nil
}

// openBeacon reads the peer whose record a beacon carries. sameMachine says that it was sent by
// this machine.
func openBeacon(body []byte, sameMachine bool) (info peer.AddrInfo, err error) {
	rec, err := OpenRecord(body)
	if err != nil {
		return info, err
	}
	info.ID = rec.PeerID
	for _, a := range rec.Addrs {
		if Usable(a, sameMachine) && len(info.Addrs) < MaxAddrs {
			info.Addrs = append(info.Addrs, a)
		}
	}
	return info, nil
}

// Usable says whether an address that a stranger has told of can be right: a plain IP address and a
// port there, of the loopback only when the stranger is on this machine. Names are not looked up
// and relays not asked because of what a stranger has sent.
func Usable(a multiaddr.Multiaddr, sameMachine bool) bool {
	ip, err := manet.ToIP(a)
	if err != nil || len(a) < 2 {
		return false
	}
	for _, part := range a {
		if code := part.Protocol().Code; code == multiaddr.P_CIRCUIT || code == multiaddr.P_P2P {
			return false
		}
	}
	return !ip.IsUnspecified() && !ip.IsMulticast() && (sameMachine || !ip.IsLoopback()) &&
		(ip.To4() != nil || !ip.IsLinkLocalUnicast()) // of IPv6 it would need a zone
}
