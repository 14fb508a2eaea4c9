package trust

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds for tests outside of the package.
const (
	MaxOrphans    = maxOrphans
	MaxPerTarget  = maxPerTarget
	MaxOwnRevoked = maxOwnRevoked
	MaxPerSigner  = maxPerSigner
	MaxDelegated  = maxDelegated
)

// SealGrant signs a grant whatever it says, as one does who is not held by our code.
func SealGrant(t testing.TB, g *Grant, key crypto.PrivKey) []byte {
	t.Helper()
	data, err := seal(grantKind(), g, key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// SealRevocation signs a revocation whatever it says.
func SealRevocation(t testing.TB, r *Revocation, key crypto.PrivKey) []byte {
	t.Helper()
	data, err := seal(revocationKind(), r, key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// SealLift signs a lift whatever it says.
func SealLift(t testing.TB, l *Lift, s *Signer) []byte {
	t.Helper()
	data, err := seal(liftKind(), l, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// SealPolicy signs a policy whatever it says.
func SealPolicy(t testing.TB, p *Policy, s *Signer) []byte {
	t.Helper()
	data, err := seal(policyKind(), p, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// NewSerial returns a serial.
func NewSerial() string { return newSerial() }

// Dir is where the fleet is kept.
func (f *Fleet) Dir() string { return f.memory.cfg.Dir }

// MemoryDir returns a folder that is not on a disk where there is one.
func MemoryDir(t testing.TB) string { return memoryDir(t) }

// LearnUnsaved takes statements as another process does that has not read yet what this one has
// written.
func LearnUnsaved(t testing.TB, f *Fleet, statements ...[]byte) {
	t.Helper()
	for _, data := range statements {
		st, err := f.memory.id.Open(data)
		if err == nil {
			_, err = f.memory.take([]*Statement{st}, true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// RewriteKilled writes the files anew, and is stopped when it comes to one of them.
func RewriteKilled(t testing.TB, f *Fleet, at string) {
	t.Helper()
	path := filepath.Join(f.memory.cfg.Dir, at)
	was, err := os.ReadFile(path)
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(err, os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700))
	if f.memory.rewrite() == nil {
		t.Fatalf("%s was written", at)
	}
	must(os.RemoveAll(path), os.WriteFile(path, was, 0o600))
}

// Full is a fleet full of members that were signed anew by themselves on the word of one who has ended.
type Full struct{ *made }

// NewFull returns one.
func NewFull(t testing.TB) Full {
	t.Helper()
	m := newMade()
	for range maxSubjects {
		g := &Grant{By: madeAll, Subject: m.subject(), Role: RoleWorker, Name: "x", Paper: string(madeAll), Line: Line{madeAll, "x"}, N: 1, Expires: maxMillis,
			Origins: []Origin{{madeEnded, string(madeEnded)}}}
		if err := m.put(Statement{Signer: madeAll, Grant: g}); err != nil {
			t.Fatal(err)
		}
	}
	return Full{m}
}

// Show is of a machine that shows its grant itself, and Tell of one that others tell of.
func (m Full) Show(p peer.ID) error {
	m.seen[p] = struct{}{}
	return m.Tell(p)
}

// Tell is of a machine that others tell of.
func (m Full) Tell(p peer.ID) error { return m.grant(madeEnded, p, 1) }
