package identity

import (
	"fmt"
	"os"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		key, err := LoadOrCreate(path)
		if err != nil {
			fmt.Print(err)
			os.Exit(1)
		}
		id, _ := peer.IDFromPrivateKey(key)
		fmt.Print(id)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
