package hardware

import (
	"io/fs"
	"path"
	"strings"
	"time"
)

// Vendors of graphics cards, by their PCI number.
const (
	amd   = "0x1002"
	intel = "0x8086"
)

// cards are the graphics cards that the kernel tells of: those of AMD and Intel. See
// https://docs.kernel.org/gpu/amdgpu/thermal.html and
// https://docs.kernel.org/admin-guide/abi-testing.html (sysfs-driver-intel-i915-hwmon).
type cards struct{ sys fs.FS }

func (c cards) read() (out []Device) {
	for _, dir := range glob(c.sys, "class/drm/card[0-9]*/device") {
		if strings.Contains(path.Base(path.Dir(dir)), "-") { // a connector of a card
			continue
		}
		var d Device
		switch text(c.sys, dir+"/vendor") {
		case amd:
			d = c.amd(dir)
		case intel:
			d = c.hwmon(dir)
		default:
			continue
		}
		d.Kind, d.ID = GPU, link(c.sys, dir)
		if d.ID == "" {
			d.ID = path.Base(path.Dir(dir))
		}
		out = append(out, d)
	}
	return out
}

func (c cards) amd(dir string) Device {
	d := c.hwmon(dir)
	d.Name = words(text(c.sys, dir+"/product_name"))
	d.UsePercent = number(c.sys, dir+"/gpu_busy_percent", 1, 0, 100)
	d.MemTotal, d.MemUsed = size(c.sys, dir+"/mem_info_vram_total"), size(c.sys, dir+"/mem_info_vram_used")
	return d
}

// hwmon reads the sensors of a device.
func (c cards) hwmon(dir string) (d Device) {
	for _, h := range glob(c.sys, dir+"/hwmon/hwmon*") {
		d.TempCelsius = first(d.TempCelsius, celsius(c.sys, h+"/temp1_input"))
		d.PowerWatts = first(d.PowerWatts, number(c.sys, h+"/power1_average", 1e6, 0, mostWatts), number(c.sys, h+"/power1_input", 1e6, 0, mostWatts))
		d.FanPercent = first(d.FanPercent, number(c.sys, h+"/pwm1", 2.55, 0, 100))
	}
	return d
}

// packages are the processor packages, by the counters of their energy: see
// https://docs.kernel.org/power/powercap/powercap.html. Many systems let root alone read these.
type packages struct {
	sys    fs.FS
	clock  func() time.Time
	before map[string]energy // by directory
}

// energy is what a package had used at some time.
type energy struct {
	joules float64
	at     time.Time
}

func (p *packages) read() (out []Device) {
	now := make(map[string]energy)
	for _, dir := range glob(p.sys, "class/powercap/*-rapl:[0-9]*") {
		name := text(p.sys, dir+"/name")
		if !strings.HasPrefix(name, "package-") { // a part of one
			continue
		}
		d := Device{Kind: CPU, ID: words(name)}
		d.TempCelsius = p.temperature(strings.TrimPrefix(name, "package-"))
		if joules := number(p.sys, dir+"/energy_uj", 1e6, 0, 1e18); joules != nil {
			now[dir] = energy{*joules, p.clock()}
			d.PowerWatts = p.power(dir, now[dir])
		}
		out = append(out, d)
	}
	p.before = now
	return out
}

// power is the mean power since the last reading; nil for the first one, and after the counter has begun anew.
func (p *packages) power(dir string, now energy) *float64 {
	before, known := p.before[dir]
	took := now.at.Sub(before.at).Seconds()
	if !known || took <= 0 || now.joules < before.joules {
		return nil
	}
	watts := (now.joules - before.joules) / took
	if watts > mostWatts {
		return nil
	}
	return &watts
}

// temperature is that of a package by its number, as the sensors of Intel's and AMD's processors tell it.
func (p *packages) temperature(number string) *float64 {
	for _, h := range glob(p.sys, "class/hwmon/hwmon*") {
		switch text(p.sys, h+"/name") {
		case "coretemp":
			for _, label := range glob(p.sys, h+"/temp*_label") {
				if text(p.sys, label) == "Package id "+number {
					return celsius(p.sys, strings.TrimSuffix(label, "_label")+"_input")
				}
			}
		case "k10temp", "zenpower":
			if number == "0" {
				return celsius(p.sys, h+"/temp1_input")
			}
		}
	}
	return nil
}

// disks are those whose temperature the kernel tells: NVMe, and others with its module drivetemp.
type disks struct{ sys fs.FS }

func (k disks) read() (out []Device) {
	for _, h := range glob(k.sys, "class/hwmon/hwmon*") {
		if name := text(k.sys, h+"/name"); name != "nvme" && name != "drivetemp" {
			continue
		}
		d := Device{Kind: Disk, ID: link(k.sys, h+"/device"), Name: words(text(k.sys, h+"/device/model"))}
		if d.ID == "" {
			d.ID = path.Base(h)
		}
		d.TempCelsius = celsius(k.sys, h+"/temp1_input")
		out = append(out, d)
	}
	return out
}
