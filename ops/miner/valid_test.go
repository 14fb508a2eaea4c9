package miner_test

import (
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

func TestParsePool(t *testing.T) {
	host := func(n int) string { return "stratum+tcp://" + strings.Repeat("a", n-len("stratum+tcp://:1")) + ":1" }
	tests := []struct {
		in string
		ok bool
	}{
		{"stratum+tcp://127.0.0.1:3333", true},
		{"stratum+tcp://[::1]:3333", true},
		{"stratum+ssl://pool.example:443", true},
		{host(miner.MaxPool), true},
		{host(miner.MaxPool + 1), false},
		{"", false},
		{"--config=/etc/passwd", false},
		{"pool.example:3333", false},
		{"http://pool.example:3333", false},
		{"stratum+tcp://pool.example", false},
		{"stratum+tcp://pool.example:0", false},
		{"stratum+tcp://pool.example:65536", false},
		{"stratum+tcp://-x:1", false},
		{"stratum+tcp://p2pool_mini:3333", true}, // a name of a container
		{"stratum+tcp://pool.example.:3333", true},
		{"stratum+tcp://:1", false},
		{"stratum+tcp://a b:1", false},
		{"stratum+tcp://user@pool.example:1", false},
		{"stratum+tcp://pool.example:1/path", false},
		{"stratum+tcp://pool.example:1?x", false},
		{"stratum+tcp://pool.example:1#x", false},
		{"stratum+tcp://pool.example:01", false},
		{"stratum+tcp://pool.example:1\n", false},
	}
	for _, tt := range tests {
		p, err := miner.ParsePool(tt.in)
		if (err == nil) != tt.ok || err == nil && p.String() != tt.in {
			t.Errorf("ParsePool(%.40q) = %v, %v; want ok %v", tt.in, p, err, tt.ok)
		}
	}
}

func FuzzParsePool(f *testing.F) {
	for _, s := range []string{"stratum+tcp://[::1]:1", "stratum+ssl://a:65535", "-x", "stratum+tcp://a@b:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := miner.ParsePool(s); err == nil && (p.String() != s || strings.ContainsAny(s, " \n\x00")) {
			t.Errorf("ParsePool(%q) = %+v", s, p)
		}
	})
}

func TestNames(t *testing.T) {
	tests := []struct {
		name string
		in   string
		f    func(string) error
		ok   bool
	}{
		{"name", "rig-01.gpu_0", miner.ValidName, true},
		{"longest name", strings.Repeat("a", miner.MaxName), miner.ValidName, true},
		{"name too long", strings.Repeat("a", miner.MaxName+1), miner.ValidName, false},
		{"empty name", "", miner.ValidName, false},
		{"dots", "..", miner.ValidName, false},
		{"slash", "a/b", miner.ValidName, false},
		{"flag", "-a", miner.ValidName, false},
		{"hidden", ".a", miner.ValidName, false},
		{"dot at the end", "a.", miner.ValidName, false},
		{"upper case", "A", miner.ValidName, false},
		{"line end", "a\n", miner.ValidName, false},
		{"algorithm", "argon2/chukwa", miner.ValidAlgorithm, true},
		{"longest algorithm", strings.Repeat("a", miner.MaxAlgorithm), miner.ValidAlgorithm, true},
		{"algorithm too long", strings.Repeat("a", miner.MaxAlgorithm+1), miner.ValidAlgorithm, false},
		{"algorithm like a flag", "--rx", miner.ValidAlgorithm, false},
		{"empty password", "", user, true},
		{"longest password", strings.Repeat("x", miner.MaxUser), user, true},
		{"password too long", strings.Repeat("x", miner.MaxUser+1), user, false},
		{"blank in a password", "a b", user, false},
		{"password like a flag", "-x", user, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.f(tt.in); (err == nil) != tt.ok {
				t.Errorf("%.40q: %v, want ok %v", tt.in, err, tt.ok)
			}
		})
	}
}

func user(s string) error { return miner.ValidUser("password", s) }
