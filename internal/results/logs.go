package results

import (
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/logs"
)

// LogView shows lines of logs as they come, and remembers what was said of them so far.
type LogView struct {
	Follow    bool // more lines come by themselves
	Plain     bool // lines without their times
	FromStart bool // the lines asked for are the first ones from somewhere, not the last ones

	begun map[peer.ID]bool // the machines that have sent lines
	waits map[peer.ID]bool // those of which it was said that a workload waits to be started again
}

// Show prints the lines of one message.
func (f *LogView) Show(r *Printer, t agent.Target, l ops.Logs) {
	if f.begun == nil {
		f.begun, f.waits = make(map[peer.ID]bool), make(map[peer.ID]bool)
	}
	prefix := ""
	if !r.Single {
		prefix = t.Label() + " | "
	}
	if l.Gap != nil {
		r.Stderr.Printf("swarm: %s: bytes %d to %d of the log are gone: they were dropped before they could be sent\n",
			t.Label(), l.Gap.From, l.Gap.To)
	}
	f.leftOut(r, t, l)
	restarted := l.Restarted
	for _, line := range l.Lines {
		if restarted != nil && line.Offset >= *restarted {
			f.restarted(r, t, l)
			restarted = nil
		}
		at := ""
		if !f.Plain {
			at = time.UnixMilli(line.Time).Format(time.DateTime) + " "
		}
		r.Stdout.Printf("%s%s%s\n", prefix, output.Whole(at), output.Whole(strings.ReplaceAll(line.Text, "\t", "    ")))
	}
	f.more(r, t, l)
	if restarted != nil {
		f.restarted(r, t, l)
	}
	if l.Waiting && !f.waits[t.Peer] {
		f.waits[t.Peer] = true
		r.Stderr.Printf("swarm: %s: %s has ended with the worker, which was restarted; going on when it is started again\n",
			t.Label(), l.Name)
	}
	if l.Exit != nil {
		r.Stderr.Printf("swarm: %s: %s ended with exit code %d\n", t.Label(), l.Name, l.Exit.Code)
	}
}

// leftOut says that there are lines before the first one.
func (f *LogView) leftOut(r *Printer, t agent.Target, l ops.Logs) {
	if first := !f.begun[t.Peer]; first && l.HasMore && !f.FromStart {
		r.Stderr.Printf("swarm: %s: earlier lines are left out; to see them: --lines N (up to %d), or --since TIME\n",
			t.Label(), logs.MaxLines)
	}
	f.begun[t.Peer] = true
}

// more says that there are lines behind the last one.
func (f *LogView) more(r *Printer, t agent.Target, l ops.Logs) {
	if l.HasMore && f.FromStart && !f.Follow {
		r.Stderr.Printf("swarm: %s: later lines are left out; to go on: --offset %d\n", t.Label(), l.Next)
	}
}

// restarted says that what follows is of another run.
func (f *LogView) restarted(r *Printer, t agent.Target, l ops.Logs) {
	delete(f.waits, t.Peer)
	r.Stderr.Printf("swarm: %s: %s was restarted; what follows is from its start on\n", t.Label(), l.Name)
}
