//go:build unix

package process_test

import (
	"bytes"
	"fmt"
	"os"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/driver/process"
)

func Example() {
	var out bytes.Buffer
	w, err := process.Driver{}.Start(driver.Spec{Argv: []string{"/bin/echo", "no", "shell", "$HOME"}, Dir: os.TempDir(), Stdout: &out})
	if err != nil {
		panic(err)
	}
	<-w.Done()
	fmt.Print(out.String(), w.Exit())
	// Output:
	// no shell $HOME
	// exit code 0
}
