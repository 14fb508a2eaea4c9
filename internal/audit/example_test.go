package audit_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/seed-b490fa12/swarm/internal/audit"
)

func Example() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	log, err := audit.Open(audit.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()

	told := log.Head() // as a controller remembers it
	_, err = log.Append(context.Background(), audit.Entry{
		Kind: audit.KindCommand, Name: "laptop", Type: "start_miner", Summary: "miner=xmrig", Result: audit.ResultBegun,
	})
	if err != nil {
		fmt.Println("not recorded, so not done:", err)
		return
	}
	for e, err := range audit.Read(dir, time.Time{}) {
		if e.Seq <= told.Count {
			continue
		}
		fmt.Println(e.Seq, e.Name, e.Type, e.Summary, e.Result, err)
	}
	report, err := audit.Verify(dir, told, log.Head())
	fmt.Println(report.Entries, err)
	// Output:
	// 2 laptop start_miner miner=xmrig begun <nil>
	// 2 <nil>
}
