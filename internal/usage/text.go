package usage

import (
	"strings"
	"unicode/utf8"
)

// Paragraphs fills the lines of each paragraph up to width; lines that are indented stay as they are.
func Paragraphs(text string, width int) string {
	var out, words []string
	flush := func() {
		if len(words) > 0 {
			out = append(out, fill(words, width)...)
			words = nil
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			out = append(out, line)
			continue
		}
		words = append(words, strings.Fields(line)...)
	}
	flush()
	return strings.Join(out, "\n")
}

// fill puts words into lines.
func fill(words []string, width int) (lines []string) {
	line := ""
	for _, w := range words {
		switch {
		case line == "":
			line = w
		case columns(line)+1+columns(w) > width:
			lines, line = append(lines, line), w
		default:
			line += " " + w
		}
	}
	return append(lines, line)
}

// hanging puts text behind head, and further lines of it below its beginning.
func hanging(head, text string, width int) string {
	indent := columns(head)
	return head + strings.Join(fill(strings.Fields(text), width-indent), "\n"+strings.Repeat(" ", indent))
}

func columns(s string) int { return utf8.RuneCountInString(s) }

// Examples breaks the lines of commands that are longer than width, as a shell reads them.
func Examples(text string, width int) string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		out = append(out, breakCommand(line, width)...)
	}
	return strings.Join(out, "\n")
}

// breakCommand breaks a line before a blank that is in no quotes.
func breakCommand(line string, width int) (lines []string) {
	const indent = "      "
	for columns(line) > width {
		at := lastBlank(line, width-len(` \`))
		if at < 0 {
			break
		}
		lines = append(lines, line[:at]+` \`)
		line = indent + line[at+1:]
	}
	return append(lines, line)
}

// lastBlank returns where the last blank before a column is that is in no quotes, and behind the
// indentation; before a flag if there is one.
func lastBlank(line string, column int) int {
	blank, flag, quoted, n, begun := -1, -1, false, 0, false
	for i, r := range line {
		if n++; n > column+1 {
			break
		}
		switch {
		case r == '\'' || r == '"':
			quoted = !quoted
		case r != ' ':
			begun = true
		case begun && !quoted:
			if blank = i; strings.HasPrefix(line[i+1:], "--") {
				flag = i
			}
		}
	}
	if flag > len("  swarm ") {
		return flag
	}
	return blank
}
