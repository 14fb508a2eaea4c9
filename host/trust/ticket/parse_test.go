package ticket_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
)

// wrapped breaks a text into lines of n characters, with what stands between them.
func wrapped(text string, n int, between string) string {
	var lines []string
	for len(text) > n {
		lines, text = append(lines, text[:n]), text[n:]
	}
	return strings.Join(append(lines, text), between)
}

// A ticket is found in what people paste.
func TestPastedTickets(t *testing.T) {
	k, err := ticket.New(ticket.Ticket{
		Fleet: newRoot(t).Fleet(), FleetName: "home", Redeemer: newPerson(t), Role: trust.RoleWorker, Name: "rig-01",
		Expires: time.Now().Add(time.Hour),
	})
	must(t, err)
	text, err := k.Encode()
	must(t, err)
	for name, pasted := range map[string]string{
		"as it is":                       text,
		"wrapped":                        wrapped(text, 79, "\n"),
		"wrapped by Windows":             wrapped(text, 60, "\r\n"),
		"quoted in a mail":               "> " + wrapped(text, 72, "\n> "),
		"quoted twice":                   ">> " + wrapped(text, 72, "\n>> "),
		"quoted-printable":               wrapped(text, 75, "=\n"),
		"double quotes":                  `"` + text + `"`,
		"backticks":                      "`" + text + "`",
		"a code block":                   "```\n" + text + "\n```",
		"typographic quotes":             "„" + text + "“",
		"a byte order mark":              "\ufeff" + text,
		"a zero-width space":             text[:40] + "\u200b" + text[40:],
		"a soft hyphen":                  text[:40] + "\u00ad\n" + text[40:],
		"no-break spaces":                "\u00a0 " + text + "\u00a0",
		"a non-breaking hyphen":          strings.Replace(text, "-", "\u2011", 1),
		"all of what invite says":        text + "\n\nOn rig-01 run, before 12:00:00:  swarm join -  (and paste the ticket)\n",
		"words about tickets before":     "A ticket begins with swarm1- and looks so:\n\n  " + text + "\nBye",
		"a cut one before the whole one": text[:60] + "\n\n" + text,
		"a command":                      "swarm join '" + text + "' --yes",
	} {
		if got, err := ticket.Parse(pasted); err != nil || got.ID != k.ID {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, pasted := range map[string]string{
		"cut": text[:len(text)-5], "cut, with words behind": text[:len(text)-5] + "\nOn rig-01 run", "twice the wrong end": text[:90] + "\n" + text[:90],
	} {
		if _, err := ticket.Parse(pasted); !errors.Is(err, ticket.ErrAltered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ticket.Parse(strings.Repeat("word ", 20_000)); !errors.Is(err, ticket.ErrNotTicket) {
		t.Errorf("a book: %v", err)
	}
}
