package ops

import (
	"context"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/sensors"

	"github.com/seed-b490fa12/swarm/ops/hardware"
)

const (
	// hostEvery is the time between two measurements of the machine.
	hostEvery = 5 * time.Second
	// firstHostAfter is when the second one comes, as processor use needs two.
	firstHostAfter = time.Second
)

// sampler measures the machine. It is for one goroutine.
type sampler struct {
	dir        string // on the file system to measure
	busy, idle float64
	measured   bool // busy and idle hold the last measurement
}

// sampleHost measures until ctx ends, so that a request costs no measurement.
func (s *Service) sampleHost(ctx context.Context) {
	m := sampler{dir: s.cfg.Dir}
	for wait := firstHostAfter; ; wait = hostEvery {
		h := m.sample(ctx)
		s.mu.Lock()
		s.host = h
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// devicesEvery is the time between two readings of the devices, which ask drivers.
const devicesEvery = 10 * time.Second

// sampleDevices reads the devices until ctx ends, apart from all else: a driver may take its time.
func sampleDevices(ctx context.Context, s *Service) {
	r := hardware.New(hardware.Config{})
	for {
		devices := r.Read(ctx)
		s.mu.Lock()
		s.devices = devices
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(devicesEvery):
		}
	}
}

// sample leaves out what this machine does not tell.
func (m *sampler) sample(ctx context.Context) Host {
	h := Host{CPUPercent: m.cpuPercent(ctx), TempCelsius: temperature(ctx)}
	if avg, err := load.AvgWithContext(ctx); err == nil {
		h.Load1 = &avg.Load1
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		h.MemTotal, h.MemUsed = &v.Total, &v.Used
	}
	if u, err := disk.UsageWithContext(ctx, m.dir); err == nil {
		h.DiskTotal, h.DiskUsed = &u.Total, &u.Used
	}
	return h
}

// cpuPercent is the share of busy time since the last call, nil in the first one.
func (m *sampler) cpuPercent(ctx context.Context) *float64 {
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(times) == 0 {
		return nil
	}
	t := times[0]
	idle := t.Idle + t.Iowait
	busy := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
	before := *m
	m.busy, m.idle, m.measured = busy, idle, true
	all := busy - before.busy + idle - before.idle
	if !before.measured || all <= 0 {
		return nil
	}
	percent := min(100, max(0, 100*(busy-before.busy)/all))
	return &percent
}

// temperature is that of the hottest processor sensor, by the names Linux and macOS give them.
func temperature(ctx context.Context) *float64 {
	all, _ := sensors.TemperaturesWithContext(ctx) // an error comes with what could be read
	var hottest *float64
	for _, t := range all {
		key := strings.ToLower(t.SensorKey)
		if !strings.Contains(key, "core") && !strings.Contains(key, "k10temp") && !strings.Contains(key, "cpu") {
			continue
		}
		if t.Temperature > 0 && (hottest == nil || t.Temperature > *hottest) {
			hottest = &t.Temperature
		}
	}
	return hottest
}
