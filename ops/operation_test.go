package ops

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/streams"
)

// A machine gives as many lines of its log as were asked for.
func TestLogsAreBounded(t *testing.T) {
	lines := func(n int) Logs { return Logs{Lines: make([]logs.Line, n)} }
	for _, tc := range []struct {
		name  string
		req   LogsRequest
		lines int
		want  streams.Code
	}{
		{"as asked", LogsRequest{Lines: 7}, 7, 0},
		{"one more", LogsRequest{Lines: 7}, 8, streams.CodeTooLarge},
		{"as by default", LogsRequest{}, DefaultLines, 0},
		{"one more than by default", LogsRequest{}, DefaultLines + 1, streams.CodeTooLarge},
		{"followed", LogsRequest{Lines: 1, Follow: true}, 1000, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload, err := json.Marshal(tc.req)
			if err != nil {
				t.Fatal(err)
			}
			item, err := json.Marshal(lines(tc.lines))
			if err != nil {
				t.Fatal(err)
			}
			left := getLogs(nil).limit(payload)
			if err := left.take(item); streams.CodeOf(err) != tc.want {
				t.Errorf("got %v, want code %d", err, tc.want)
			}
		})
	}
	l := limit{}
	if err := l.take(nil); !errors.Is(err, streams.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// A misspelled member is refused before a machine is asked, and so is what the machine would
// refuse.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		op, payload string
		ok          bool
	}{
		{"get_stats", ``, true},
		{"get_stats", `{}`, true},
		{"get_stats", `{"x":1}`, false},
		{"stop_miner", `{"name":"xmrig"}`, true},
		{"stop_miner", `{"name":"xmrig","naem":"x"}`, false},
		{"stop_miner", `{}`, false},
		{"get_logs", `{"lines":-1}`, false},
		{"get_logs", `[]`, false},
	} {
		op, err := Of(nil).Find(tc.op)
		if err != nil {
			t.Fatal(err)
		}
		if err := op.Check([]byte(tc.payload)); (err == nil) != tc.ok {
			t.Errorf("%s %s: got %v, want ok %v", tc.op, tc.payload, err, tc.ok)
		}
	}
	if _, err := Of(nil).Find("stop_mining"); !errors.Is(err, ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

// What is wrong with a payload is told in terms of the payload, not of Go.
func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for payload, want := range map[string]string{
		`{"naem":"x"}`:                  `unknown member "/naem"`,
		`{"lines":"many"}`:              `"/lines": a JSON string does not fit here`,
		`{"lines":9999999999999999999}`: `"/lines": value out of range`,
		`[]`:                            `want an object`,
		`{"lines":`:                     `byte 9: unexpected EOF`,
		`{"name":"a","name":"b"}`:       `byte 12: duplicate object member name`,
	} {
		if _, err := Decode[LogsRequest]([]byte(payload)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", payload, err, want)
		}
	}
}
