package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// beaconSession is what is open while our addresses stay the same.
type beaconSession struct {
	*Beacon
	ears []socket // of each IP version one; shared with the other nodes of this machine
	// links have a socket each, because an answer to a shared one reaches any of its owners.
	links []*link
	query []byte
	out   chan<- peer.AddrInfo
}

func (b *Beacon) open(ctx context.Context, now survey) (s *beaconSession, err error) {
	s = &beaconSession{Beacon: b, query: encodeBeacon(beaconQuery, b.network, make([]byte, maxBeacon-beaconHeader))}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var errs error
	for _, six := range []bool{false, true} {
		links := slices.DeleteFunc(slices.Clone(now.links), func(l *link) bool { return l.six() != six })
		if len(links) == 0 {
			continue
		}
		ear, err := b.listen(ctx, links, six)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		s.ears = append(s.ears, ear)
		for _, l := range links {
			if err := b.openLink(l, now.addrs); err != nil {
				errs = errors.Join(errs, fmt.Errorf("%s: %w", l.nic.Name, err))
				continue
			}
			s.links = append(s.links, l)
		}
	}
	if len(s.links) == 0 {
		return s, errs
	}
	return s, nil
}

func (s *beaconSession) close() {
	for _, ear := range s.ears {
		ear.Close()
	}
	for _, l := range s.links {
		l.conn.Close()
	}
}

// listen opens the port that the nodes of a machine share, and joins the group on each link.
func (b *Beacon) listen(ctx context.Context, links []*link, six bool) (socket, error) {
	ear, err := listenShared(ctx, b.cfg.Port, six)
	if err != nil || b.cfg.Mode != BeaconMulticast {
		return ear, err
	}
	if err := b.join(ear, links); err != nil {
		ear.Close()
		return socket{}, fmt.Errorf("join the group %s: %w", b.group(six), err)
	}
	return ear, nil
}

// join fails when it does on all links. On an interface with two addresses it always does for the
// second one.
func (b *Beacon) join(ear socket, links []*link) error {
	errs := ear.hearSelf()
	joined := false
	for _, l := range links {
		err := ear.join(&l.nic, b.group(l.six()))
		joined = joined || err == nil
		errs = errors.Join(errs, err)
	}
	if joined {
		return nil
	}
	return errs
}

func (b *Beacon) openLink(l *link, addrs []multiaddr.Multiaddr) error {
	if b.cfg.Announce {
		sealed, err := seal(b.host, b.network, l.order(addrs))
		if err != nil {
			return err
		}
		l.record = sealed
	}
	conn, err := listenAt(l.prefix.Addr(), &l.nic)
	if err != nil {
		return err
	}
	if b.cfg.Mode == BeaconMulticast {
		if err := conn.speak(&l.nic); err != nil {
			conn.Close()
			return err
		}
	}
	l.conn = conn
	return nil
}

// send announces, or asks where there is nothing to announce: some times at the start, then once in
// a period.
func (s *beaconSession) send(ctx context.Context) error {
	for round := 0; ; round++ {
		if err := s.sendOnce(); err != nil && ctx.Err() == nil {
			return err
		}
		if dropped := s.count.dropped.Load(); dropped > s.logged {
			s.cfg.Logger.Debug("beacon datagrams were dropped", "new", dropped-s.logged, "received", s.count.received.Load())
			s.logged = dropped
		}
		wait := s.cfg.Period + rand.N(s.cfg.Period/8) // nodes that started together drift apart
		if round < 2 {
			// The first may be lost, or have come before the others were there.
			wait = time.Duration(round+1) * time.Second
		}
		if !backoff.Wait(ctx, wait) {
			return nil
		}
	}
}

// sendOnce fails when nothing could be sent on any link.
func (s *beaconSession) sendOnce() (errs error) {
	sent := false
	for _, l := range s.links {
		datagram := s.query
		if len(l.record) > 0 {
			datagram = l.record
		}
		err := s.sendToAll(l, datagram)
		sent = sent || err == nil
		errs = errors.Join(errs, err)
	}
	if sent {
		return nil
	}
	return errs
}

// sendToAll sends a datagram to the group, or as a broadcast.
func (s *beaconSession) sendToAll(l *link, datagram []byte) error {
	to := s.group(l.six()).WithZone(l.zone())
	if !to.IsValid() {
		to = broadcastOf(l.prefix)
	}
	_, err := l.conn.WriteToUDPAddrPort(datagram, netip.AddrPortFrom(to, uint16(s.cfg.Port)))
	return err
}

// read takes datagrams, one after the other, until the socket is closed.
func (s *beaconSession) read(ctx context.Context, conn socket, shared bool) {
	room, err := conn.tellTo()
	if err != nil && shared {
		// This is so on Windows.
		s.cfg.Logger.Debug("all that the beacon is asked is taken as asked of all", "err", err)
	}
	// Windows calls a datagram that does not fit an error; so any fits.
	buf, control := make([]byte, 1<<16), make([]byte, room)
	for {
		n, c, _, from, err := conn.ReadMsgUDPAddrPort(buf, control)
		if err == nil {
			s.receive(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), func() bool { return !shared || s.toUs(conn, control[:c]) })
		} else if !backoff.Wait(ctx, readPause) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// toUs tells a datagram that was sent to this node alone from one that was sent to all, as is
// assumed where the system says nothing.
func (s *beaconSession) toUs(conn socket, control []byte) bool {
	to, ok := conn.to(control)
	return ok && slices.ContainsFunc(s.links, func(l *link) bool { return l.is(to) })
}

// receive looks at a datagram that anybody may have sent: first at what costs nothing. toUs tells
// whether it was sent to this node alone.
func (s *beaconSession) receive(datagram []byte, from netip.AddrPort, toUs func() bool) {
	s.count.received.Add(1)
	i := slices.IndexFunc(s.links, func(l *link) bool { return l.has(from.Addr()) })
	kind, body, ok := decodeBeacon(datagram, s.network)
	if i < 0 || !ok {
		s.count.dropped.Add(1)
		return
	}
	l := s.links[i]
	if bytes.Equal(datagram, l.record) {
		return // our own, which came back
	}
	if kind == beaconQuery {
		s.answer(l, len(datagram), from, toUs())
		return
	}
	if !s.checks.allow(from.Addr()) {
		s.count.dropped.Add(1)
		return
	}
	s.count.checked.Add(1)
	ours := slices.ContainsFunc(s.links, func(l *link) bool { return l.is(from.Addr()) })
	info, err := openBeacon(body, ours || from.Addr().IsLoopback())
	if err != nil {
		s.count.dropped.Add(1)
		return
	}
	select {
	case s.out <- info:
	default: // it comes again
	}
}

// answer tells one who asks about us. Who asks may be forged: so what was asked of all is told to
// all, and to nobody else; of many nodes that hear one question none sends anything to the one whom
// it names. Who asks us alone is answered alone, never with more than the question, and rarely
// enough, so that nobody can have us flood somebody else.
func (s *beaconSession) answer(l *link, asked int, to netip.AddrPort, toUs bool) {
	if len(l.record) == 0 {
		return
	}
	if asked < len(l.record) || toUs && !s.answers.allow(to.Addr()) {
		s.count.dropped.Add(1)
		return
	}
	if !toUs {
		select {
		case l.asked <- struct{}{}:
		default: // one answer will do for all who ask now
		}
		return
	}
	if _, err := l.conn.WriteToUDPAddrPort(l.record, to); err == nil {
		s.count.answered.Add(1)
	}
}

// answerAll announces this node when somebody has asked all: a moment later, so that not all speak
// at once, and once in a while, however many ask and however often. Who asks meanwhile hears of us
// at the end of that while.
func (s *beaconSession) answerAll(ctx context.Context, l *link) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.asked:
		}
		if !backoff.Wait(ctx, answerAllSoonest+rand.N(answerAllSpread)) {
			return
		}
		select {
		case <-l.asked: // it will hear this
		default:
		}
		if s.sendToAll(l, l.record) == nil {
			s.count.answered.Add(1)
		}
		if !backoff.Wait(ctx, answerAllEvery) {
			return
		}
	}
}
