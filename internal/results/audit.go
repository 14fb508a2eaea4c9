package results

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
)

// AuditLine is an entry, or the end of a machine's log, as a line of JSON.
type AuditLine struct {
	Peer    peer.ID         `json:"peer"`
	Name    string          `json:"name"`
	Entry   *audit.Entry    `json:"entry,omitzero"`
	OK      *bool           `json:"ok,omitzero"`
	Refused []audit.Refused `json:"refused,omitzero"`
	Intact  *bool           `json:"intact,omitzero"`
	Why     string          `json:"why,omitzero"`
	Error   *lines.Error    `json:"error,omitzero"`
	Done    bool            `json:"done,omitzero"`
}

// Audit prints what a machine has recorded; with verify also whether the record is whole.
func Audit(e *console.Env, rep agent.AuditReport, verify bool) error {
	if e.JSON {
		return auditJSON(e, rep, verify)
	}
	name := rep.Target.Label()
	if rep.Err != nil {
		_, err := e.Stdout.Printf("%s: %s\n", name, rep.Err.Error())
		return err
	}
	for _, entry := range rep.Entries {
		if entry.Kind == "anchor" {
			continue // the log's own
		}
		if _, err := e.Stdout.Printf("%s  %s\n", name, entry.Text()); err != nil {
			return err
		}
	}
	for _, r := range rep.Refused {
		if _, err := e.Stdout.Printf("%s  %s\n", name, r.Text()); err != nil {
			return err
		}
	}
	switch {
	case rep.Broken != "":
		e.Stdout.Printf("%s: THE RECORD DOES NOT HOLD: %s\n", name, rep.Broken)
	case verify:
		e.Stdout.Printf("%s: the record is whole\n", name)
	}
	return nil
}

func auditJSON(e *console.Env, rep agent.AuditReport, verify bool) error {
	line := AuditLine{Peer: rep.Target.Peer, Name: rep.Target.Display()}
	for _, entry := range rep.Entries {
		line.Entry = &entry
		if err := e.PrintJSON(line); err != nil {
			return err
		}
	}
	ok := rep.Err == nil
	line.Entry, line.OK, line.Done, line.Refused = nil, &ok, true, rep.Refused
	if rep.Err != nil {
		line.Error = lines.NewError(rep.Err)
	} else if verify {
		intact := rep.Broken == ""
		line.Intact, line.Why = &intact, rep.Broken
	}
	return e.PrintJSON(line)
}
