package stratum

import (
	"encoding/hex"
	"math"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
)

// The first two blocks of Bitcoin: public facts that no mistake of ours can agree with by chance.
// The second has a previous hash, so it also tries the order of its words.
func TestHeaderOfRealBlocks(t *testing.T) {
	tests := []struct {
		name, notify string
		nonce        uint32
		hash         string
	}{
		{
			"genesis", `["g","0000000000000000000000000000000000000000000000000000000000000000",` +
				`"01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb6",` +
				`"ef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000",[],"00000001","1d00ffff","495fab29",true]`,
			2083236893, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
		},
		{
			"block 1", `["1","0a8ce26f72b3f1b646a2a6c14ff763ae65831e939c085ae10019d66800000000",` +
				`"01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0704ffff001d0104ffffffff0100f2052a0100000043410496b538e853519c726a2c91e61ec11600ae1390813a627c66fb8be7947be63c52da7589379515d4e0a604f8141781e6",` +
				`"66bf621e73a82cbf2342c858eeac00000000",[],"00000001","1d00ffff","4966bc61",true]`,
			2573394689, "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048",
		},
	}
	extranonces := map[string][2]string{"genesis": {"49f6bc3f", "4c"}, "block 1": {"2294", "7211"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Message{Method: "mining.notify", Params: []byte(tt.notify)}
			job, err := ParseJob(m)
			if err != nil {
				t.Fatal(err)
			}
			e1, _ := hex.DecodeString(extranonces[tt.name][0])
			e2, _ := hex.DecodeString(extranonces[tt.name][1])
			h := job.Header(e1, e2)
			hash := h.Hash(tt.nonce)
			if hash.String() != tt.hash {
				t.Errorf("hash is %s, want %s", hash, tt.hash)
			}
			if one := TargetOf(1); !one.Met(&hash) {
				t.Error("the block does not meet difficulty 1")
			}
			if params, _ := json.Marshal(job.Params()); string(params) != tt.notify {
				t.Errorf("Params() = %s, want %s", params, tt.notify)
			}
		})
	}
}

// Each branch is hashed to the right of what is there.
func TestBranches(t *testing.T) {
	left, right := Sum([]byte("coinbase")), Hash{1, 2, 3}
	job := Job{Coinbase1: []byte("coin"), Coinbase2: []byte("se"), Branches: []Hash{right}}
	h := job.Header([]byte("b"), []byte("a"))
	if want := Sum(append(left[:], right[:]...)); Hash(h[36:68]) != want {
		t.Errorf("root is %x, want %x", h[36:68], want)
	}
}

func TestTargetOf(t *testing.T) {
	all := Target{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}
	tests := []struct {
		name       string
		difficulty float64
		want       Target
	}{
		{"one", 1, Target{0x00000000ffff0000}},
		{"two", 2, Target{0x000000007fff8000}},
		{"a half", 0.5, Target{0x00000001fffe0000}},
		{"2^-16", 1.0 / 65536, Target{0x0000ffff00000000}},
		{"easier than all", 1e-30, all},
		{"zero", 0, Target{}},
		{"negative", -1, Target{}},
		{"not a number", math.NaN(), Target{}},
		{"infinite", math.Inf(1), Target{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := TargetOf(tt.difficulty); got != tt.want {
				t.Errorf("TargetOf(%v) = %x, want %x", tt.difficulty, got, tt.want)
			}
		})
	}
}

func TestMet(t *testing.T) {
	target := Target{0, 5}
	// The second most significant number, its lowest byte.
	at := func(n byte) Hash { return Hash{16: n} }
	for n, want := range map[byte]bool{4: true, 5: true, 6: false} {
		if h := at(n); target.Met(&h) != want {
			t.Errorf("Met(%d) = %v, want %v", n, !want, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":null,"method":"mining.notify","params":["a","` + hex.EncodeToString(make([]byte, 32)) + `","","",[],"00000001","1d00ffff","495fab29",true]}`))
	f.Add([]byte(`{"id":1,"result":[[["mining.notify","a"]],"08000002",4],"error":null}`))
	f.Add([]byte(`{"id":1,"params":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := Parse(line)
		if err != nil {
			return
		}
		if e, err := ParseSubscribed(m); err == nil && (e.Size2 < 0 || e.Size2 > MaxExtranonce || len(e.First) > MaxExtranonce) {
			t.Errorf("extranonce %x with %d bytes to follow", e.First, e.Size2)
		}
		job, err := ParseJob(m)
		if err != nil {
			return
		}
		params, err := json.Marshal(job.Params())
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseJob(Message{Params: params})
		if err != nil || !reflect.DeepEqual(again, job) {
			t.Errorf("%s read again: %+v, %v; want %+v", params, again, err, job)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	var h Header
	target := TargetOf(1)
	b.ReportAllocs()
	for nonce := uint32(0); b.Loop(); nonce++ {
		hash := h.Hash(nonce)
		target.Met(&hash)
	}
}
