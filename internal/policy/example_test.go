package policy_test

import (
	"fmt"

	"github.com/seed-b490fa12/swarm/internal/policy"
)

func Example() {
	p := policy.Default()
	fmt.Println(p.CheckMiner("xmrig"))
	if err := p.Enable("miner=xmrig,pool=*.pool.example:3333"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.CheckMiner("xmrig"))
	fmt.Println(p.CheckPool("stratum+tcp://eu.pool.example:3333"))
	fmt.Println(p.CheckPool("stratum+tcp://other.example:3333"))
	// Output:
	// miner "xmrig" is not in the owner's list (policy.json: miners); the owner of this machine allows it with: --enable miner=xmrig
	// <nil>
	// <nil>
	// pool "other.example:3333" is not in the owner's list (policy.json: pools)
}
