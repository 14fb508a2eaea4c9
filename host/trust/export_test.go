package trust

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
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

// MaxOrphans is how many members are kept whose issuer was thrown out.
const MaxOrphans = maxOrphans

// Dir is where the fleet is kept.
func (f *Fleet) Dir() string { return f.cfg.Dir }
