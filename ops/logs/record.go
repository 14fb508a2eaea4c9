package logs

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// maxHeader is the most bytes of a record beside its text: a time, a letter, two blanks, the line
// end.
const maxHeader = 20 + 1 + 2 + 1

// appendRecord appends one line as it stands on disk.
func appendRecord(b []byte, ms int64, stream Stream, text []byte) []byte {
	b = strconv.AppendInt(b, ms, 10)
	if stream == Stderr {
		b = append(b, " e "...)
	} else {
		b = append(b, " o "...)
	}
	b = appendValid(b, text)
	return append(b, '\n')
}

// badByte stands for bytes that are no UTF-8. The usual U+FFFD would make a line longer than it
// was.
const badByte = "?"

// appendValid appends text as valid UTF-8, which is what it nearly always is.
func appendValid(b, text []byte) []byte {
	if utf8.Valid(text) {
		return append(b, text...)
	}
	return append(b, bytes.ToValidUTF8(text, []byte(badByte))...)
}

// parseRecord reads one line, without its line end; false when it is not one of ours.
func parseRecord(b []byte) (Line, bool) {
	ms, rest, ok := bytes.Cut(b, []byte(" "))
	t, err := strconv.ParseInt(string(ms), 10, 64)
	if !ok || err != nil || len(rest) < 2 || rest[1] != ' ' {
		return Line{}, false
	}
	line := Line{Time: t, Stream: Stdout, Text: string(bytes.ToValidUTF8(rest[2:], []byte(badByte)))}
	switch rest[0] {
	case 'e':
		line.Stream = Stderr
	case 'o':
	default:
		return Line{}, false
	}
	return line, true
}

// recordTime reads the time at the beginning of a record, 0 when there is none.
func recordTime(b []byte) int64 {
	ms, _, _ := bytes.Cut(b, []byte(" "))
	t, err := strconv.ParseInt(string(ms), 10, 64)
	if err != nil {
		return 0
	}
	return t
}
