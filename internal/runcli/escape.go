package runcli

import "slices"

// escape finds in what a person types the way out of a session that does not answer: ~. at the beginning of
// a line. There ~~ stands for ~. The zero value is at the beginning of one.
type escape struct {
	inLine bool // something was typed since Enter
	tilde  bool // a ~ at the beginning of a line waits for what follows
}

// next takes what was typed. It returns what of it is for the machine, and reports whether the person
// leaves: then nothing behind that counts.
func (e *escape) next(typed []byte) (pass []byte, leaves bool) {
	if !e.tilde && e.inLine && !slices.ContainsFunc(typed, isEnter) {
		return typed, false // most often
	}
	pass = make([]byte, 0, len(typed)+1)
	for _, b := range typed {
		switch {
		case e.tilde && b == '.':
			return pass, true
		case e.tilde && b == '~':
			pass = append(pass, '~')
			e.tilde, e.inLine = false, true
			continue
		case e.tilde:
			pass = append(pass, '~')
			e.tilde, e.inLine = false, true
		case b == '~' && !e.inLine:
			e.tilde = true
			continue
		}
		pass = append(pass, b)
		e.inLine = !isEnter(b)
	}
	return pass, false
}

func isEnter(b byte) bool { return b == '\r' || b == '\n' }
