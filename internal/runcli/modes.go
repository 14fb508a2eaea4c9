package runcli

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

const (
	esc = 0x1b
	// maxSequence is how long the middle of a sequence may be that is looked at, in bytes.
	maxSequence = 64
	// keysMode stands for the mode of xterm in which each key has a sequence of its own, which has no number
	// among the others.
	keysMode = -1
	// keypadMode stands for the mode in which the keys of the number block have sequences.
	keypadMode = -2
)

// modes are what a program has switched on at a terminal and a person cannot work with afterwards: the
// mouse, another screen, and the like. A session that breaks off leaves them on.
type modes struct {
	at  int // of a sequence: 0 outside of one, 1 behind ESC, 2 behind ESC [
	seq []byte
	on  map[int]bool // those that are not as usual
}

// unusual reports whether a private mode is one to put back, and which state of it is not the usual one.
func unusual(mode int) (state, known bool) {
	switch mode {
	case 7, 25: // wrapping, the cursor
		return false, true
	case 1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004, 2026:
		return true, true
	}
	return false, false
}

// see looks at what is printed.
func (m *modes) see(printed []byte) {
	for len(printed) > 0 {
		if m.at == 0 {
			i := bytes.IndexByte(printed, esc)
			if i < 0 {
				return
			}
			printed = printed[i+1:]
			m.at, m.seq = 1, m.seq[:0]
			continue
		}
		b := printed[0]
		printed = printed[1:]
		switch {
		case b == esc:
			m.at, m.seq = 1, m.seq[:0]
		case m.at == 1 && b == '[':
			m.at = 2
		case m.at == 1:
			m.at = 0
			m.short(b)
		case b >= 0x40 && b <= 0x7e:
			m.at = 0
			m.sequence(b)
		case len(m.seq) == maxSequence:
			m.at = 0
		default:
			m.seq = append(m.seq, b)
		}
	}
}

// short takes a sequence of ESC and one character.
func (m *modes) short(b byte) {
	switch b {
	case 'c': // all is as usual
		m.on = nil
	case '=', '>':
		m.set(keypadMode, b == '=')
	}
}

// sequence takes one of ESC [ that ends in a character.
func (m *modes) sequence(end byte) {
	text := string(m.seq)
	switch {
	case text == "":
	case text[0] == '>' && end == 'm' && (text == ">4" || len(text) > 2 && text[:3] == ">4;"):
		m.set(keysMode, len(text) > 3 && text[3] != '0')
	case text[0] == '?' && (end == 'h' || end == 'l'):
		for word := range bytes.SplitSeq(m.seq[1:], []byte(";")) {
			mode, err := strconv.Atoi(string(word))
			if odd, known := unusual(mode); err == nil && known {
				m.set(mode, (end == 'h') == odd)
			}
		}
	}
}

func (m *modes) set(mode int, odd bool) {
	if m.on == nil {
		m.on = make(map[int]bool)
	}
	if odd {
		m.on[mode] = true
	} else {
		delete(m.on, mode)
	}
}

// undo returns what puts them back.
func (m *modes) undo() []byte {
	var text []byte
	for _, mode := range slices.Sorted(maps.Keys(m.on)) {
		switch odd, _ := unusual(mode); {
		case mode == keysMode:
			text = append(text, "\x1b[>4m"...)
		case mode == keypadMode:
			text = append(text, "\x1b>"...)
		case odd:
			text = fmt.Appendf(text, "\x1b[?%dl", mode)
		default:
			text = fmt.Appendf(text, "\x1b[?%dh", mode)
		}
	}
	m.on = nil
	return text
}
