package trust

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// ErrNeedsPerson: a machine does not sign this by itself. A person has to look and decide.
var ErrNeedsPerson = errors.New("a person has to decide")

// Decision is what a person decides about a member. Fleet, line, number and times of the grant
// are set by Decide.
type Decision struct {
	Grant Grant
	// Narrow ends all that the member held: its lines are revoked at the same time.
	Narrow bool
	// Extend keeps the line of an issuer's grant, so that all that it signed goes on to count.
	// Without it a new line begins, and what the issuer signed before is over.
	Extend bool
	// Reinstate gives an issuer its rights back in spite of the revocations that are known.
	Reinstate bool
}

// Issuance signs statements about members, and takes them. It is used concurrently.
type Issuance struct{ memory *memory }

// signing hands what all processes of this machine know to fn, while none of them signs, takes the
// statements that it returns, and writes them.
func (f Issuance) signing(by *Signer, fn func(draft) ([]*Statement, error)) (err error) {
	f.memory.saving.Lock()
	defer f.memory.saving.Unlock()
	unlock, err := f.memory.store.Lock()
	if err != nil {
		if f.memory.left() {
			return ErrNoFleet
		}
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := f.memory.reload(); err != nil {
		return err
	}
	s, done := f.memory.read()
	statements, err := fn(draft{s, by})
	done()
	if err != nil {
		return err
	}
	if _, err := f.memory.take(statements, true); err != nil {
		return err
	}
	return f.memory.save()
}

// Decide signs what a person has decided, and takes it. The error matches [ErrOutranked] where
// another grant of the member goes on to count.
func (f Issuance) Decide(s *Signer, d Decision) (Chain, error) {
	var chain Chain
	err := f.signing(s, func(have draft) (out []*Statement, err error) {
		if err := have.fill(&d); err != nil {
			return nil, err
		}
		if d.Narrow {
			if out, err = have.revokeLines(d.Grant.Subject); err != nil {
				return nil, err
			}
		}
		var st *Statement
		if st, chain, err = s.issue(d.Grant, have.now); err == nil {
			err = have.outranked(st)
		}
		if err != nil {
			return nil, err
		}
		return append(out, st), nil
	})
	if err != nil {
		return nil, err
	}
	return chain, f.counted(d.Grant.Subject, chain)
}

// counted returns [ErrOutranked] when another grant of the member goes on to count.
func (f Issuance) counted(p peer.ID, c Chain) error {
	held, err := f.memory.credential(p)
	switch {
	case held != nil && err == nil && bytes.Equal(held.st.Data, c[len(c)-1]):
		return nil
	case held != nil && err != nil:
		return fmt.Errorf("the new grant of %s does not count: %w", held.Grant.Name, err)
	}
	return fmt.Errorf("%w for %s, which this issuer may not replace; the root key may", ErrOutranked, p)
}

// Number gives a grant that is about to be signed the number that it has to have.
func (f Issuance) Number(s *Signer, g *Grant) error {
	have, done := f.memory.read()
	defer done()
	return draft{have, s}.number(g)
}

// Renew signs a member's grant for a further life, in the same line, as a machine does by itself at
// contact. The error matches [ErrNeedsPerson] where a person has to decide: about rights that
// another issuer gave, and about a machine whose grants give different names or labels.
func (f Issuance) Renew(s *Signer, p peer.ID) (Chain, error) {
	var chain Chain
	err := f.signing(s, func(have draft) ([]*Statement, error) {
		g, err := have.renewal(p)
		if err != nil {
			return nil, err
		}
		st, c, err := s.issue(*g, have.now)
		if err == nil {
			err = have.outranked(st)
		}
		if err != nil {
			return nil, err
		}
		chain = c
		return []*Statement{st}, nil
	})
	if err != nil {
		return nil, err
	}
	return chain, f.counted(p, chain)
}

// Revoke signs revocations of peers and lines, and takes them. When the error is nil, each of them
// counts on this machine. Only the root revokes a peer that is an issuer; only the root, or an
// issuer for all, revokes lines that others began.
func (f Issuance) Revoke(s *Signer, peers []peer.ID, lines []Line) error {
	err := f.signing(s, func(have draft) (out []*Statement, err error) {
		for _, p := range peers {
			st, err := have.revokePeer(p)
			if err != nil {
				return nil, err
			}
			out = append(out, st...)
		}
		for _, l := range lines {
			st, err := have.revokeLine(l)
			if err != nil {
				return nil, err
			}
			out = append(out, st...)
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	return f.holds(peers, lines)
}

// holds returns [ErrOutranked] where something that was revoked goes on to count.
func (f Issuance) holds(peers []peer.ID, lines []Line) error {
	s, done := f.memory.read()
	defer done()
	for _, p := range peers {
		if c, err := s.member(p); err == nil {
			return fmt.Errorf("%w: %s holds the grant %s all the same", ErrOutranked, c.Grant.Name, c.Grant.Line.Serial)
		}
	}
	for _, l := range lines {
		for _, st := range s.all {
			if st.Grant == nil || st.Grant.Line != l {
				continue
			}
			if c, err := s.member(st.Grant.Subject); err == nil && c.Grant.Line == l {
				return fmt.Errorf("%w: %s holds the grant %s all the same", ErrOutranked, c.Grant.Name, l.Serial)
			}
		}
	}
	return nil
}

// Lift ends the revocations of a peer and of its lines, as the root, and returns how many there
// were. It does not bring an issuer back: that takes a new grant, see [Decision].
func (f Issuance) Lift(root *Signer, p peer.ID, lines ...Line) (lifted int, err error) {
	err = f.signing(root, func(have draft) ([]*Statement, error) {
		targets := []target{{peer: p}}
		for _, st := range have.plain[p] {
			targets = append(targets, target{line: st.Grant.Line})
		}
		if p == "" {
			targets = nil
		}
		for _, l := range lines {
			targets = append(targets, target{line: l})
		}
		var ids []ID
		for _, t := range targets {
			for _, r := range have.revs[t] {
				if have.live(r) && !slices.Contains(ids, r.ID) {
					ids = append(ids, r.ID)
				}
			}
		}
		if lifted = len(ids); lifted == 0 {
			return nil, nil
		}
		return root.liftAll(Lift{}, ids, have.now)
	})
	return lifted, err
}

// Closing says how the book of a signer is closed.
type Closing struct {
	Signer peer.ID
	// Standing are the revocations that go on to count.
	Standing []ID
	// Unknown closes the book also where no grant of the signer is known here: for ever, also for what
	// it signs under a new grant.
	Unknown bool
}

// Close ends, as the root, all revocations by a signer that has ended but those named as standing:
// also those that are not known here yet. It does so under the lines of the signer that are known:
// without any the error matches [ErrStranger].
func (f Issuance) Close(root *Signer, c Closing) error {
	return f.signing(root, func(have draft) ([]*Statement, error) {
		st := highest(have.issuers[c.Signer])
		switch {
		case st == nil && !c.Unknown:
			err := fmt.Errorf("%w: no grant of %s as an issuer is known here, so its book would be closed for ever", ErrStranger, c.Signer)
			return nil, &Blocked{Err: err, Need: NeedGrant, Peer: c.Signer}
		case st != nil && have.endedBy(st) == nil:
			err := fmt.Errorf("%s goes on to sign: end it first", st.Grant.Name)
			return nil, &Blocked{Err: err, Need: NeedEnd, Peer: c.Signer, Name: st.Grant.Name}
		}
		l := Lift{Signer: c.Signer, Standing: c.Standing}
		for _, st := range have.issuers[c.Signer] {
			if serial := st.Grant.Line.Serial; !slices.Contains(l.Lines, serial) {
				l.Lines = append(l.Lines, serial)
			}
		}
		st, err := root.lift(l, have.now)
		return []*Statement{st}, err
	})
}

// Waive lets, as the root, a machine obey again without statements that it has lost and that nobody
// else has.
func (f Issuance) Waive(root *Signer, machine peer.ID, ids []ID) error {
	return f.signing(root, func(have draft) ([]*Statement, error) {
		return root.liftAll(Lift{Machine: machine}, ids, have.now)
	})
}
