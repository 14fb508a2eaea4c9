package output

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Column is a column of a Sheet.
type Column struct {
	Title string
	// Rank says how soon the column goes where the terminal is too narrow: those of the highest rank
	// go first, the last one of them before the others. One of rank 0 stays.
	Rank  int
	Right bool // lined up to the right, as numbers are
	// Least, if not 0, is the width down to which values are cut before other columns go.
	Least int
}

// Sheet is a table with as many columns as fit on the terminal. Nothing is printed before Flush.
type Sheet struct {
	p       *Printer
	columns []Column
	rows    []sheetRow
	wide    bool
	widths  []int // of the columns, once all rows are there
}

// sheetRow is a row; one with a note has the note behind its first cell in place of the others.
type sheetRow struct {
	cells []string
	note  string
}

// gap is what stands between two columns.
const gap = "  "

// Sheet begins a table. With wide all columns are shown, whatever the width of the terminal.
func (p *Printer) Sheet(wide bool, columns ...Column) *Sheet {
	return &Sheet{p: p, columns: columns, wide: wide}
}

// Row adds a row, a value for each column. A value is cut as in a [Table].
func (s *Sheet) Row(values ...any) {
	row := sheetRow{cells: make([]string, len(s.columns))}
	for i, v := range values[:min(len(values), len(s.columns))] {
		row.cells[i] = cellText(v)
	}
	s.rows = append(s.rows, row)
}

// Note adds a row with a sentence in place of all cells but the first.
func (s *Sheet) Note(first any, note string) {
	s.rows = append(s.rows, sheetRow{[]string{cellText(first)}, fmt.Sprint(cell{note})})
}

// Len returns how many rows there are.
func (s *Sheet) Len() int { return len(s.rows) }

// Flush prints the table.
func (s *Sheet) Flush() error {
	var out strings.Builder
	s.measure()
	shown := s.shown()
	var titles []string
	for _, c := range s.columns {
		titles = append(titles, c.Title)
	}
	s.line(&out, shown, titles)
	for _, r := range s.rows {
		if r.note != "" {
			fmt.Fprintf(&out, "%s%s%s\n", pad(r.cells[0], s.widths[0], false), gap, r.note)
			continue
		}
		s.line(&out, shown, r.cells)
	}
	s.rows = nil
	_, err := io.WriteString(s.p, s.p.folded(out.String()))
	return err
}

// line writes the cells of the columns that are shown, without blanks at the end.
func (s *Sheet) line(out *strings.Builder, shown []int, cells []string) {
	var parts []string
	for _, i := range shown {
		parts = append(parts, pad(cells[i], s.widths[i], s.columns[i].Right))
	}
	out.WriteString(strings.TrimRight(strings.Join(parts, gap), " ") + "\n")
}

// shown are the columns that fit.
func (s *Sheet) shown() (out []int) {
	for i := range s.columns {
		out = append(out, i)
	}
	room := columns(s.p.w)
	if s.wide || room == 0 {
		return out
	}
	s.narrow(out, s.total(out)-room)
	for s.total(out) > room {
		last := -1 // of the highest rank
		for at, i := range out {
			if s.columns[i].Rank > 0 && (last < 0 || s.columns[i].Rank >= s.columns[out[last]].Rank) {
				last = at
			}
		}
		if last < 0 {
			return out // it is folded
		}
		out = append(out[:last], out[last+1:]...)
	}
	return out
}

// narrow makes columns narrower that may be, by so much in all at most.
func (s *Sheet) narrow(shown []int, by int) {
	for _, i := range shown {
		least := max(s.columns[i].Least, utf8.RuneCountInString(s.columns[i].Title))
		if less := min(by, s.widths[i]-least); s.columns[i].Least > 0 && less > 0 {
			s.widths[i] -= less
			by -= less
		}
	}
}

// total is the width of a line with these columns.
func (s *Sheet) total(shown []int) (n int) {
	for _, i := range shown {
		n += s.widths[i] + len(gap)
	}
	return n - len(gap)
}

// measure finds how wide the columns are.
func (s *Sheet) measure() {
	s.widths = make([]int, len(s.columns))
	for i, c := range s.columns {
		s.widths[i] = utf8.RuneCountInString(c.Title)
	}
	for _, r := range s.rows {
		for i, c := range r.cells { // of a note there is one
			s.widths[i] = max(s.widths[i], utf8.RuneCountInString(c))
		}
	}
}

// pad fills a text up to a width, or cuts it.
func pad(text string, width int, right bool) string {
	if runes := []rune(text); len(runes) > width && width > 0 {
		text = string(runes[:width-1]) + "…"
	}
	fill := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
	if right {
		return fill + text
	}
	return text + fill
}

// cellText is a value as it stands in a cell: one line, cut unless it is Whole.
func cellText(v any) string {
	text := fmt.Sprint(cell{v})
	if _, ok := v.(Whole); ok {
		return text
	}
	if strings.HasPrefix(text, "/") {
		return cut(text, maxAddress)
	}
	return cut(text, maxField)
}
