package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/logs"
)

// Lines have the time at which they were printed, and what was left out is told with the way to it.
func TestLogsAreTimedAndWhole(t *testing.T) {
	at := time.Date(2026, 11, 30, 20, 15, 1, 0, time.Local)
	const timed, plain = "2026-11-30 20:15:01 found a  share\n", "found a  share\n"
	for _, tt := range []struct {
		flags, out, errs string
		more             bool
	}{
		{"", timed, "", false},
		{"", timed, "swarm: rig-01: earlier lines are left out; to see them: --lines N (up to 10000), or --since TIME\n", true},
		{"--follow", timed, "swarm: rig-01: earlier lines are left out; to see them: --lines N (up to 10000), or --since TIME\n", true},
		{"--plain --since 1h", plain, "swarm: rig-01: later lines are left out; to go on: --offset 99\n", true},
		{"--plain --offset 7", plain, "swarm: rig-01: later lines are left out; to go on: --offset 99\n", true},
		{"--plain --offset 7 --follow", plain, "", true},
	} {
		var out, errs bytes.Buffer
		op, e := opGetLogs(), console.New(strings.NewReader(""), &out, &errs)
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		op.flags(flags)
		if err := flags.Parse(strings.Fields(tt.flags)); err != nil {
			t.Fatal(err)
		}
		if _, err := op.fill(nil); err != nil {
			t.Fatal(err)
		}
		payload, err := json.Marshal(ops.Logs{Name: "m", Lines: []logs.Line{{Time: at.UnixMilli(), Text: "found a  share"}}, Next: 99, HasMore: tt.more, Run: "x"})
		if err != nil {
			t.Fatal(err)
		}
		op.printer(e, true).Show(agent.Result{Target: agent.Target{Name: "rig-01"}, Payload: payload, Feed: true})
		if out.String() != tt.out || errs.String() != tt.errs {
			t.Errorf("%q: got %q and %q", tt.flags, out.String(), errs.String())
		}
	}
}
