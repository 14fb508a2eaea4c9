package ops

import (
	"testing"
	"time"
)

func TestDeaths(t *testing.T) {
	type death struct {
		after time.Duration // since the last one; also how long it ran
		pause time.Duration // -1: given up
	}
	tests := []struct {
		name   string
		deaths []death
	}{
		{"crash loop", []death{{0, time.Second}, {time.Second, 2 * time.Second}, {2 * time.Second, 4 * time.Second}, {4 * time.Second, 8 * time.Second}, {8 * time.Second, -1}}},
		{"slow deaths", []death{{time.Hour, time.Second}, {time.Hour, time.Second}, {time.Hour, time.Second}, {time.Hour, time.Second}, {time.Hour, time.Second}, {time.Hour, time.Second}}},
		{"one death every 20 s", []death{
			{20 * time.Second, time.Second}, {20 * time.Second, 2 * time.Second}, {20 * time.Second, 4 * time.Second}, {20 * time.Second, 8 * time.Second},
			{20 * time.Second, 16 * time.Second}, {20 * time.Second, 32 * time.Second}, {20 * time.Second, time.Minute}, {20 * time.Second, time.Minute},
		}},
		{"just out of the window", []death{{0, time.Second}, {15 * time.Second, 2 * time.Second}, {15 * time.Second, 4 * time.Second}, {15 * time.Second, 8 * time.Second}, {15 * time.Second, 16 * time.Second}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, now := deaths{policy: RestartPolicy{}.withDefaults()}, time.Now()
			for i, death := range tt.deaths {
				now = now.Add(death.after)
				pause, again := d.add(now, death.after)
				if again != (death.pause >= 0) || again && pause != death.pause {
					t.Errorf("death %d: pause %v, again %v, want %v", i, pause, again, death.pause)
				}
			}
		})
	}
}
