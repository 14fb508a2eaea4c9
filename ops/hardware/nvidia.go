package hardware

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os/exec"
	"strings"
	"time"
)

const (
	// mostSaid bounds what the program may print, in bytes.
	mostSaid = 64 << 10
	mib      = 1 << 20
)

// nvidiaFields are what the program is asked for, see nvidia-smi --help-query-gpu.
var nvidiaFields = []string{"pci.bus_id", "name", "temperature.gpu", "power.draw", "fan.speed", "utilization.gpu", "memory.total", "memory.used"}

// nvidia are the graphics cards of NVIDIA, by the program of its driver.
type nvidia struct {
	program string // empty: looked for in PATH
	within  time.Duration
}

// read asks the program, which is a child of its own: one that hangs in the kernel cannot be killed, and
// Reader leaves it then.
func (n nvidia) read() []Device {
	program := n.program
	if program == "" {
		var err error
		if program, err = exec.LookPath("nvidia-smi"); err != nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), n.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--query-gpu="+strings.Join(nvidiaFields, ","), "--format=csv,noheader,nounits")
	cmd.WaitDelay = time.Second
	var said limited
	cmd.Stdout = &said
	if err := cmd.Run(); err != nil {
		return nil // it says so in words for people
	}
	return parseNvidia(said.Bytes())
}

// limited keeps the first mostSaid bytes.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > mostSaid {
		return 0, errors.New("it says too much")
	}
	return l.Buffer.Write(p)
}

// parseNvidia reads lines of nvidiaFields; what is none is left out.
func parseNvidia(said []byte) (out []Device) {
	r := csv.NewReader(bytes.NewReader(said))
	r.TrimLeadingSpace, r.LazyQuotes, r.FieldsPerRecord = true, true, -1
	for {
		f, err := r.Read()
		if errors.Is(err, io.EOF) || len(out) >= MaxDevices {
			return out
		}
		if err != nil || len(f) != len(nvidiaFields) {
			continue
		}
		d := Device{Kind: GPU, ID: words(strings.ToLower(f[0])), Name: words(f[1])}
		if d.ID == "" {
			continue
		}
		d.TempCelsius, d.PowerWatts = parse(f[2], 1, coldest, hottest), parse(f[3], 1, 0, mostWatts)
		d.FanPercent, d.UsePercent = parse(f[4], 1, 0, 100), parse(f[5], 1, 0, 100)
		d.MemTotal, d.MemUsed = mebibytes(f[6]), mebibytes(f[7])
		out = append(out, d)
	}
}

func mebibytes(s string) *uint64 {
	v := parse(s, 1, 0, 1<<30)
	if v == nil {
		return nil
	}
	n := uint64(*v) * mib
	return &n
}
