package trust

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// made is a set with three issuers, one of whom has ended, and statements that nobody has signed: its bounds do not look at
// signatures.
type made struct {
	*set
	now  time.Time
	next int
}

const (
	madeRoot, madeSelf, madeAll, madeLimited, madeEnded = peer.ID("root"), peer.ID("self"), peer.ID("for all"), peer.ID("limited"), peer.ID("ended")
)

func newMade() *made {
	m := &made{set: newSet(madeRoot, madeSelf), now: begin()}
	for _, p := range []peer.ID{madeAll, madeLimited, madeEnded} {
		m.put(Statement{Signer: madeRoot, Grant: &Grant{By: madeRoot, Subject: p, Name: string(p), Line: Line{madeRoot, string(p)}, N: 1, Expires: maxMillis,
			MayIssue: &Bounds{ForAll: p == madeAll, Roles: []Role{RoleWorker}}}})
	}
	m.put(Statement{Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: madeEnded}})
	return m
}

// put adds a statement with an ID of its own.
func (m *made) put(st Statement) error {
	m.next++
	st.ID = sha256.Sum256(fmt.Append(nil, m.next))
	_, err := m.add(&st, m.now, false)
	return err
}

func (m *made) subject() peer.ID { return peer.ID(fmt.Sprint("member ", m.next)) }

// grant is of a member by an issuer.
func (m *made) grant(by, p peer.ID, n int64) error {
	return m.put(Statement{Signer: by, Grant: &Grant{By: by, Subject: p, Role: RoleWorker, Name: "x", Paper: string(by), Line: Line{by, fmt.Sprint(m.next)}, N: n,
		Expires: maxMillis, accepted: true}})
}

// The tables hold n, and refuse one more; what is the root's, or this node's own, has a place.
func TestSetBounds(t *testing.T) {
	for _, tc := range []struct {
		name string
		most int
		add  func(m *made) error
	}{
		{"members of an issuer that is not for all", maxDelegates, func(m *made) error { return m.grant(madeLimited, m.subject(), 1) }},
		{"members of an ended signer", maxOrphans, func(m *made) error { return m.grant(madeEnded, m.subject(), 1) }},
		{"revocations in lines that the signer began", maxOwnRevoked, func(m *made) error {
			line := Line{madeAll, fmt.Sprint(m.next)}
			return m.put(Statement{Signer: madeAll, Revocation: &Revocation{By: madeAll, Line: &line, own: true}})
		}},
		{"revocations of one target", maxPerTarget, func(m *made) error {
			return m.put(Statement{Signer: madeAll, Revocation: &Revocation{By: madeAll, Peer: "x"}})
		}},
		{"grants of one issuer", maxIssuerGrants - 1, func(m *made) error { // one is there
			return m.put(Statement{Signer: madeRoot, Grant: &Grant{By: madeRoot, Subject: madeAll, N: 1, MayIssue: &Bounds{ForAll: true}, Expires: maxMillis}})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMade()
			for n := range tc.most {
				if err := tc.add(m); err != nil {
					t.Fatalf("%d: %v", n+1, err)
				}
			}
			if err := tc.add(m); !errors.Is(err, ErrFull) {
				t.Errorf("%d: %v", tc.most+1, err)
			}
			for _, err := range []error{
				m.grant(madeRoot, m.subject(), 1), m.grant(madeAll, m.subject(), 1), m.grant(madeLimited, madeSelf, 1),
				m.put(Statement{Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: "x"}}),
			} {
				if err != nil {
					t.Errorf("another: %v", err)
				}
			}
		})
	}
}

// Of the machine itself more grants are kept than of others.
func TestOwnPapersAreBounded(t *testing.T) {
	m := newMade()
	for n := range int64(2 * maxOwnPapers) {
		if err := m.grant(madeAll, madeSelf, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.plain[madeSelf]); n != maxOwnPapers {
		t.Errorf("%d are kept, want %d", n, maxOwnPapers)
	}
	if st, _ := m.at(m.now).pick(madeSelf); st.Grant.N != 2*maxOwnPapers {
		t.Errorf("number %d counts", st.Grant.N)
	}
}

// A full fleet takes nobody else, unless one is no member any more.
func TestFullFleet(t *testing.T) {
	m := newMade()
	for range maxSubjects {
		if err := m.grant(madeAll, m.subject(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.grant(madeAll, "one more", 1); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	if err := m.grant(madeRoot, "the root's", 1); err != nil {
		t.Errorf("one by the root: %v", err)
	}
	var gone peer.ID
	for gone = range m.plain {
		break
	}
	if err := m.put(Statement{Signer: madeRoot, Revocation: &Revocation{By: madeRoot, Peer: gone}}); err != nil {
		t.Fatal(err)
	}
	if err := m.grant(madeAll, "after it", 1); err != nil || len(m.plain[gone]) > 0 || len(m.plain) != maxSubjects+1 {
		t.Errorf("in the place of one who was revoked: %v, %d members", err, len(m.plain))
	}
}
