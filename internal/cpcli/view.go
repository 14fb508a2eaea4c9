package cpcli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops/cp"
)

// View shows what becomes of a copy.
type View struct {
	*console.Env
	Bar *output.Progress

	began time.Time
	begun bool // something was there to copy
	done  bool
	sum   agent.Summary // of files, or of the machine where there were none
}

// NewView returns a view of a copy.
func NewView(e *console.Env, y agent.Copy) *View {
	what := "receiving"
	if y.Sends {
		what = "sending"
	}
	return &View{Env: e, Bar: output.NewProgress(e.Terminal).Called(what), began: time.Now()}
}

// Line is an event as a line of JSON.
type Line struct {
	Event       agent.ResultEvent `json:"event"`
	Peer        peer.ID           `json:"peer,omitzero"`
	Name        string            `json:"name,omitzero"`
	File        string            `json:"file,omitzero"` // of one file
	State       cp.State          `json:"state,omitzero"`
	Source      string            `json:"source,omitzero"` // of all
	Target      string            `json:"target,omitzero"`
	Files       *int              `json:"files,omitzero"`
	Unchanged   *int              `json:"unchanged,omitzero"`
	Failed      *int              `json:"failed,omitzero"`
	Size        *int64            `json:"size,omitzero"`
	Bytes       *int64            `json:"bytes,omitzero"`
	Seconds     float64           `json:"seconds,omitzero"`
	LeftOut     *cp.Left          `json:"leftOut,omitzero"`
	OK          *bool             `json:"ok,omitzero"`
	Done        bool              `json:"done,omitzero"`
	Error       *lines.Error      `json:"error,omitzero"`
	Why         string            `json:"why,omitzero"`
	AwaySeconds float64           `json:"awaySeconds,omitzero"`
}

// Show shows one event.
func (v *View) Show(e agent.CopyEvent) error {
	line := Line{Event: e.Event, Peer: e.Target.Peer, Name: e.Target.Display(), Why: e.Why, AwaySeconds: e.Away.Seconds()}
	switch e.Event {
	case agent.EventProgress:
		v.Bar.Show("", e.Done, e.Goal)
		return nil
	case agent.EventBegin:
		v.begun = true
		return nil
	case agent.EventFile:
		ok := e.File.Err == nil
		v.sum.Add(e.File.Err)
		line.File, line.State, line.Size, line.Bytes, line.OK = e.File.Path, e.File.State, &e.File.Size, &e.File.Sent, &ok
		line.Error = lines.NewError(e.File.Err)
	case agent.EventCopied:
		v.ended(e, &line)
	}
	v.Bar.Clear()
	return v.Print(line, func() error { return v.text(e) })
}

// ended counts what became of the whole.
func (v *View) ended(e agent.CopyEvent, line *Line) {
	v.done = true
	if e.Err != nil || v.sum.Total() == 0 {
		v.sum.Add(e.Err)
	}
	t := cmp.Or(e.Total, &cp.Total{})
	v.sum.Failed += t.Left.Failed()
	ok := v.sum.OK == v.sum.Total()
	line.OK, line.Done, line.Error = &ok, true, lines.NewError(e.Err)
	if !v.begun {
		return
	}
	files := t.Copied + t.Unchanged
	line.Source, line.Target, line.Files, line.Unchanged, line.Failed = t.From, t.To, &files, &t.Unchanged, &t.Failed
	line.Size, line.Bytes, line.Seconds, line.LeftOut = &t.Beginning.Bytes, &t.Sent, time.Since(v.began).Seconds(), &t.Left
}

func (v *View) text(e agent.CopyEvent) error {
	name := e.Target.Label()
	switch e.Event {
	case agent.EventFile:
		if e.File.Err == nil {
			return nil
		}
		_, err := v.Stderr.Printf("swarm: %s: %s: %s\n", name, e.File.Path, results.Words(e.File.Err))
		return err
	case agent.EventCut:
		_, err := v.Stderr.Printf("swarm: the connection is lost, going on as soon as it is back; Ctrl-C ends it\n")
		return err
	case agent.EventBack:
		_, err := v.Stderr.Printf("swarm: back after %v\n", max(e.Away.Round(100*time.Millisecond), 100*time.Millisecond))
		return err
	}
	return v.textOfAll(name, e)
}

// textOfAll says what became of the whole.
func (v *View) textOfAll(name string, e agent.CopyEvent) error {
	t := cmp.Or(e.Total, &cp.Total{})
	if left := leftOut(t.Left); left != "" {
		if _, err := v.Stderr.Printf("swarm: %s: left out: %s\n", name, left); err != nil {
			return err
		}
	}
	if e.Err != nil {
		_, err := v.Stderr.Printf("swarm: %s: %s\n", name, results.Words(e.Err))
		return err
	}
	took := max(time.Since(v.began).Seconds(), 0.001)
	text := fmt.Sprintf("%s, %s in %.1f s (%s/s)", output.Count(t.Copied, "file", "files"), size(float64(t.Sent)), took, size(float64(t.Sent)/took))
	if t.Unchanged > 0 {
		text += fmt.Sprintf("; %d unchanged", t.Unchanged)
	}
	if t.Failed > 0 {
		text += fmt.Sprintf("; %d failed", t.Failed)
	}
	_, err := v.Stdout.Printf("%s: %s\n", output.Whole(t.To), text)
	return err
}

// leftOut says what was left out.
func leftOut(l cp.Left) string {
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{
		{l.Links, "symbolic link", "symbolic links"},
		{l.Special, "device, pipe or socket", "devices, pipes and sockets"},
		{l.Unfinished, "unfinished copy", "unfinished copies"},
		{l.Closed, "directory of the worker's own", "directories of the worker's own"},
		{l.Names, "name that cannot be sent", "names that cannot be sent"},
		{l.Unreadable, "directory that cannot be read", "directories that cannot be read"},
	} {
		if p.n > 0 {
			parts = append(parts, output.Count(p.n, p.one, p.many))
		}
	}
	return strings.Join(parts, ", ")
}

// size is a number of bytes for a person.
func size(bytes float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if bytes < 1024 || unit == "GiB" {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", bytes)
			}
			return fmt.Sprintf("%.1f %s", bytes, unit)
		}
		bytes /= 1024
	}
	return ""
}

// Outcome is what the exit code is to be.
func (v *View) Outcome(ctx context.Context) error {
	if v.done {
		return console.Judged(ctx, v.sum)
	}
	if ctx.Err() != nil && v.begun && !v.JSON {
		v.Stderr.Printf("swarm: what has arrived is kept: the same command goes on with it\n")
	}
	return nil
}
