package hardware

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree is a recorded tree of files: "path value" lines.
func tree(lines string) fstest.MapFS {
	sys := make(fstest.MapFS)
	for line := range strings.Lines(lines) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			if to, isLink := strings.CutPrefix(value, "-> "); isLink {
				sys[name] = &fstest.MapFile{Data: []byte(to), Mode: os.ModeSymlink | 0o777}
			} else {
				sys[name] = &fstest.MapFile{Data: []byte(value + "\n")}
			}
		}
	}
	return sys
}

// told writes a device in a line.
func told(d Device) string {
	show := func(v *float64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.1f", *v)
	}
	mem := func(v *uint64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprint(*v)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %q %s°C %sW fan %s use %s mem %s/%s %s", d.Kind, d.ID, d.Name, show(d.TempCelsius), show(d.PowerWatts),
		show(d.FanPercent), show(d.UsePercent), mem(d.MemUsed), mem(d.MemTotal), d.Reason))
}

func want(t *testing.T, got []Device, lines ...string) {
	t.Helper()
	var have []string
	for _, d := range got {
		have = append(have, told(d))
	}
	if !reflect.DeepEqual(have, lines) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(lines, "\n"))
	}
}

// A rig with two cards of AMD, one of Intel, a processor of Intel and an NVMe disk; one sensor is broken, one
// file is not there.
const rig = `
class/drm/card0/device/vendor 0x1002
class/drm/card0/device/product_name Radeon RX 6800
class/drm/card0/device/gpu_busy_percent 97
class/drm/card0/device/mem_info_vram_total 17163091968
class/drm/card0/device/mem_info_vram_used 5368709120
class/drm/card0/device/hwmon/hwmon3/temp1_input 61000
class/drm/card0/device/hwmon/hwmon3/power1_average 118000000
class/drm/card0/device/hwmon/hwmon3/pwm1 102
class/drm/card1/device/vendor 0x1002
class/drm/card1/device/hwmon/hwmon4/temp1_input 511000
class/drm/card1/device/hwmon/hwmon4/power1_input 95000000
class/drm/card2/device/vendor 0x8086
class/drm/card2/device/hwmon/hwmon5/temp1_input 48000
class/drm/card3/device/vendor 0x10de
class/drm/card0-DP-1/device/vendor 0x1002
class/powercap/intel-rapl:0/name package-0
class/powercap/intel-rapl:0/energy_uj 1000000
class/powercap/intel-rapl:0:0/name core
class/hwmon/hwmon0/name coretemp
class/hwmon/hwmon0/temp1_label Package id 0
class/hwmon/hwmon0/temp1_input 55000
class/hwmon/hwmon1/name nvme
class/hwmon/hwmon1/temp1_input 38850
class/hwmon/hwmon1/device/model Samsung SSD 980
`

func TestRecordedRig(t *testing.T) {
	sys, at := tree(rig), time.Unix(0, 0)
	r := New(Config{Sys: sys, NvidiaSMI: "/nowhere", Clock: func() time.Time { return at }})
	gpus := []string{
		`gpu card0 "Radeon RX 6800" 61.0°C 118.0W fan 40.0 use 97.0 mem 5368709120/17163091968`,
		`gpu card1 "" -°C 95.0W fan - use - mem -/-`,
		`gpu card2 "" 48.0°C -W fan - use - mem -/-`,
		`disk hwmon1 "Samsung SSD 980" 38.9°C -W fan - use - mem -/-`,
	}
	want(t, r.Read(t.Context()), append(gpus, `cpu package-0 "" 55.0°C -W fan - use - mem -/-`)...)
	at = at.Add(2 * time.Second)
	sys["class/powercap/intel-rapl:0/energy_uj"].Data = []byte("131000000\n")
	want(t, r.Read(t.Context()), append(gpus, `cpu package-0 "" 55.0°C 65.0W fan - use - mem -/-`)...)
	at = at.Add(2 * time.Second)
	sys["class/powercap/intel-rapl:0/energy_uj"].Data = []byte("5\n") // the counter has begun anew
	want(t, r.Read(t.Context()), append(gpus, `cpu package-0 "" 55.0°C -W fan - use - mem -/-`)...)
}

// The answers of nvidia-smi of several drivers and cards; what is no number is not known.
func TestNvidiaAnswers(t *testing.T) {
	want(t, parseNvidia([]byte(`00000000:01:00.0, NVIDIA GeForce RTX 3080, 62, 221.34, 70, 100, 10240, 5061
00000000:02:00.0, Tesla P40, 45, 50.10, [N/A], 0, 24576, 0
00000000:03:00.0, NVIDIA GeForce GTX 1660 SUPER, [GPU is lost], [Unknown Error], [N/A], [N/A], [N/A], [N/A]
00000000:04:00.0, NVIDIA A100-SXM4-80GB, 511, 99999, 101, 250, -1, ERR!
Unable to determine the device handle for GPU 0000:05:00.0: Unknown Error
00000000:06:00.0, half a li`)),
		`gpu 00000000:01:00.0 "NVIDIA GeForce RTX 3080" 62.0°C 221.3W fan 70.0 use 100.0 mem 5306843136/10737418240`,
		`gpu 00000000:02:00.0 "Tesla P40" 45.0°C 50.1W fan - use 0.0 mem 0/25769803776`,
		`gpu 00000000:03:00.0 "NVIDIA GeForce GTX 1660 SUPER" -°C -W fan - use - mem -/-`,
		`gpu 00000000:04:00.0 "NVIDIA A100-SXM4-80GB" -°C -W fan - use - mem -/-`,
	)
	var many strings.Builder
	for i := range MaxDevices + 1 {
		fmt.Fprintf(&many, "00000000:%02x:00.0, card, 1, 1, 1, 1, 1, 1\n", i)
	}
	if n := len(parseNvidia([]byte(many.String()))); n != MaxDevices {
		t.Errorf("%d devices", n)
	}
	if d := parseNvidia([]byte("x, \x1b[31mred\x00 " + strings.Repeat("é", 100) + ", 1, 1, 1, 1, 1, 1\n")); len(d) != 1 || len(d[0].Name) > maxText || strings.ContainsAny(d[0].Name, "\x1b\x00") {
		t.Errorf("%+v", d)
	}
}

// program writes a script that takes the place of nvidia-smi.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nvidia-smi")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNvidiaProgram(t *testing.T) {
	for name, script := range map[string]string{
		"answers": `case "$*" in *csv,noheader,nounits*) echo "0:1, card, 50, 100, 30, 90, 1, 1";; esac`,
		"fails":   `echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."; exit 9`,
		"floods":  `while :; do echo "0:1, card, 50, 100, 30, 90, 1, 1"; done`,
		"hangs":   `sleep 60`,
	} {
		t.Run(name, func(t *testing.T) {
			within := 500 * time.Millisecond
			if name == "answers" {
				within = time.Minute
			}
			got := nvidia{program(t, script), within}.read()
			if name == "answers" {
				want(t, got, `gpu 0:1 "card" 50.0°C 100.0W fan 30.0 use 90.0 mem 1048576/1048576`)
			} else if len(got) != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A source that hangs is asked once, and its devices are told without numbers until it answers; the others are
// told as ever.
func TestSilentDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		temp, hang := 50.0, make(chan struct{})
		var asked atomic.Int64
		stubborn := &source{read: func() []Device {
			if asked.Add(1) > 1 {
				<-hang
			}
			return []Device{{ID: "0:1", Kind: GPU, Name: "card", TempCelsius: &temp}}
		}}
		r := &Reader{within: DefaultWithin, sources: []*source{stubborn, {read: disks{tree(rig)}.read}}}
		disk := `disk hwmon1 "Samsung SSD 980" 38.9°C -W fan - use - mem -/-`
		numbers, silence := `gpu 0:1 "card" 50.0°C -W fan - use - mem -/-`, `gpu 0:1 "card" -°C -W fan - use - mem -/- `+silent
		want(t, r.Read(t.Context()), numbers, disk)
		for range 5 {
			began := time.Now()
			want(t, r.Read(t.Context()), silence, disk)
			if took := time.Since(began); took != DefaultWithin {
				t.Errorf("it took %v", took)
			}
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("it was asked %d times", n)
		}
		close(hang)
		synctest.Wait()
		want(t, r.Read(t.Context()), numbers, disk)
	})
}

// Reading ends with its context.
func TestReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		defer close(hang)
		r := &Reader{within: time.Hour, sources: []*source{{read: func() []Device { <-hang; return nil }}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, r.Read(ctx))
	})
}
