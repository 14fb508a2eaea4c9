package signing

import (
	"slices"
	"strings"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// ListMembers prints the table of members, with their rights in words. A further right of a member,
// such as one for a while, has a row of its own. Without wide the columns are those for which the
// terminal has room.
func ListMembers(p *output.Printer, wide bool, members []Member) error {
	s := p.Sheet(wide, output.Column{Title: "NAME"}, output.Column{Title: "ROLE", Rank: 1}, output.Column{Title: "STATE"},
		output.Column{Title: "RIGHTS"}, output.Column{Title: "UNTIL"}, output.Column{Title: "LABELS", Rank: 2},
		output.Column{Title: "LAST SEEN", Rank: 3}, output.Column{Title: "PEER", Rank: 4})
	now := time.Now()
	for _, m := range members {
		seen := output.Unknown
		switch {
		case m.Self:
			seen = "this machine"
		case m.LastSeen != nil:
			seen = output.Seconds(now.Sub(*m.LastSeen).Seconds()) + " ago"
		}
		rights := append([]trust.Right{{Verbs: m.Verbs, On: m.On}}, m.Also...)
		if len(m.Verbs) == 0 && len(m.Also) > 0 {
			rights = m.Also
		}
		s.Row(m.Name, m.Role, m.State, RightInWords(rights[0]), end(rights[0], m, now), output.Labels(m.Labels), seen, m.Peer)
		for _, r := range rights[1:] {
			s.Row("", "", "", "and "+RightInWords(r), end(r, m, now))
		}
	}
	return s.Flush()
}

// end is when a right ends: of its own, or with the membership.
func end(r trust.Right, m Member, now time.Time) string {
	if r.Expires == 0 {
		return output.Day(m.Expires)
	}
	at := time.UnixMilli(r.Expires)
	switch left := at.Sub(now); {
	case left <= 0:
		return "has ended"
	case left < 48*time.Hour:
		return "in " + output.Seconds(left.Seconds())
	}
	return output.Day(at)
}

// RightInWords says what a right lets its member do.
func RightInWords(r trust.Right) string {
	var words []string
	verbs := r.Verbs
	if all := []string{trust.AllVerbs, trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke}; containsAll(verbs, all) {
		words, verbs = []string{"everything"}, nil
	}
	for _, v := range verbs {
		words = append(words, verbInWords(v))
	}
	if len(words) == 0 {
		return "none"
	}
	text := strings.Join(words, ", ")
	if r.On != "" {
		text += " on " + r.On
	}
	return text
}

func containsAll(s, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(s, w) })
}

// verbInWords is a verb as a person says it; one of another program stays as it is.
func verbInWords(v string) string {
	switch v {
	case trust.AllVerbs:
		return "command everything"
	case trust.ReadVerbs:
		return "read everything"
	case "stats.read":
		return "read stats"
	case "logs.read":
		return "read logs"
	case "audit.read":
		return "read the audit log"
	case "miner.control":
		return "start and stop miners"
	case "workload.control":
		return "start and stop workloads"
	case trust.VerbAdmit:
		return "let machines in"
	case trust.VerbGrant:
		return "give rights"
	case trust.VerbRevoke:
		return "take rights"
	case "run":
		return "run commands"
	case "shell":
		return "open shells"
	case "forward":
		return "forward connections"
	case "power":
		return "reboot machines and shut them down"
	case "cp":
		return "copy files"
	}
	return v
}
