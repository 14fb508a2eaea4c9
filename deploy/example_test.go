package deploy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-b490fa12/swarm/deploy"
)

// A directory becomes a bundle, and the bundle the current release of a deployment. Between
// machines, Send and Handler are in between.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(source, "run.sh"), []byte("#!/bin/sh\necho hello\n"), 0o755); err != nil {
		panic(err)
	}

	bundle, err := deploy.Open(source, "greeter", 0)
	if err != nil {
		panic(err)
	}
	store, err := deploy.OpenStore(deploy.StoreConfig{Dir: filepath.Join(dir, "deploy")})
	if err != nil {
		panic(err)
	}
	for range 2 {
		body := bundle.Body()
		ack, err := store.Apply(context.Background(), bundle.Manifest, body)
		if err != nil {
			panic(err)
		}
		body.Close()
		fmt.Println(ack.Name, ack.State, ack.Bytes)
	}
	current, _, err := store.Current("greeter")
	if err != nil {
		panic(err)
	}
	text, err := os.ReadFile(filepath.Join(current, "run.sh"))
	fmt.Printf("%s %v\n", text[:9], err)
	// Output:
	// greeter deployed 21
	// greeter unchanged 0
	// #!/bin/sh <nil>
}
