package service

import (
	"bytes"
	_ "embed"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

//go:embed unit.tmpl
var unitTemplate string

// copiedMark stands in the unit of a service whose installation has copied this program.
const copiedMark = "X-Copied=" + program

// unitText is the unit file of a service.
func unitText(r Role, p *Plan, args []string, copied bool) string {
	words := []string{p.Program, string(r)}
	if r == Controller {
		words = append(words, "serve")
	}
	for _, a := range args {
		words = append(words, quote(a))
	}
	var b bytes.Buffer
	err := template.Must(template.New("unit").Parse(unitTemplate)).Execute(&b, map[string]any{
		"Role": r, "Command": strings.Join(words, " "), "State": p.State, "User": p.User,
		"Own": r != Controller, "Miners": r == Worker, "Copied": copied, "Mark": copiedMark,
	})
	if err != nil {
		return err.Error() // the template and its values are ours
	}
	return b.String()
}

// quote writes a word of a command line for systemd, which expands % and $ in it.
func quote(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(word)
	if word == "" || strings.ContainsAny(word, " \t'\";\\") {
		return `"` + word + `"`
	}
	return word
}

const maxUnit = 64 << 10 // bytes

// copies reports whether the installation of a service here has copied this program.
func (m *Machine) copies() bool {
	for _, r := range m.Installed() {
		text, err := durable.ReadFile(m.path(filepath.Clean(unitPath(r))), maxUnit)
		if err == nil && strings.Contains(string(text), copiedMark) {
			return true
		}
	}
	return false
}
