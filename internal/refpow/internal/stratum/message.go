package stratum

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lenient takes what pools send: a message in Latin-1, a member given twice, "Method".
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true),
	json.MatchCaseInsensitiveNames(true))

// Message is a request (Method is set), a notice (a request without ID), or an answer.
type Message struct {
	ID     jsontext.Value
	Method string // in lower case; empty in an answer, although some pools repeat it there
	Params jsontext.Value
	Result jsontext.Value
	Error  jsontext.Value
	Reason string // of some pools' refusals, beside the error
}

// Parse reads one message.
func Parse(line []byte) (Message, error) {
	var raw struct {
		ID     jsontext.Value `json:"id"`
		Method jsontext.Value `json:"method"`
		Params jsontext.Value `json:"params"`
		Result jsontext.Value `json:"result"`
		Error  jsontext.Value `json:"error"`
		Reason jsontext.Value `json:"reject-reason"`
	}
	if err := json.Unmarshal(line, &raw, lenient); err != nil {
		return Message{}, fmt.Errorf("%w: %.100q: %w", ErrLine, line, err)
	}
	m := Message{ID: raw.ID, Params: raw.Params, Result: raw.Result, Error: raw.Error}
	method, _ := Text(raw.Method)
	m.Method = strings.ToLower(strings.TrimSpace(method))
	m.Reason, _ = Text(raw.Reason)
	answer := given(m.Result) || given(m.Error)
	switch {
	case answer && !given(m.Params):
		m.Method = ""
	case m.Method == "" && !answer && !given(m.ID):
		return Message{}, fmt.Errorf("%w: %.100q has neither a method nor a result", ErrLine, line)
	}
	return m, nil
}

// Asks reports whether the sender waits for an answer.
func (m Message) Asks() bool { return m.Method != "" && given(m.ID) }

// Args reads the parameters into as many texts; further ones are ignored, missing ones are an error.
func (m Message) Args(into ...*string) error {
	values := Values(m.Params)
	if len(values) < len(into) {
		return fmt.Errorf("%w: %d parameters of %.40q, need %d", ErrLine, len(values), m.Method, len(into))
	}
	for i, v := range into {
		text, ok := Text(values[i])
		if !ok {
			return fmt.Errorf("%w: parameter %d of %.40q is no text", ErrLine, i, m.Method)
		}
		*v = text
	}
	return nil
}

// given reports whether a value is there and not null.
func given(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

// Values are the elements of a list. An object gives its members of these names, in their order, and a
// value alone itself.
func Values(v jsontext.Value, names ...string) []jsontext.Value {
	switch {
	case !given(v):
		return nil
	case v.Kind() == '[':
		var list, inner []jsontext.Value
		_ = json.Unmarshal(v, &list, lenient)
		if len(list) == 1 && list[0].Kind() == '[' && json.Unmarshal(list[0], &inner, lenient) == nil {
			return inner // [[…]]
		}
		return list
	case v.Kind() == '{':
		members := make(map[string]jsontext.Value)
		_ = json.Unmarshal(v, &members, lenient)
		list := make([]jsontext.Value, len(names))
		for i, name := range names {
			list[i] = members[name]
		}
		return list
	}
	return []jsontext.Value{v}
}

// at is the value at a place, nil where there is none.
func at(values []jsontext.Value, i int) jsontext.Value {
	if i < len(values) {
		return values[i]
	}
	return nil
}

// Text is a text, a number or a truth as text.
func Text(v jsontext.Value) (text string, ok bool) {
	switch v.Kind() {
	case '"':
		return text, json.Unmarshal(v, &text, lenient) == nil
	case '0', 't', 'f':
		return string(v), true
	}
	return "", false
}

// Float is a number, or a text that is one.
func Float(v jsontext.Value) (n float64, ok bool) {
	text, ok := Text(v)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return n, err == nil && !math.IsInf(n, 0) && !math.IsNaN(n)
}

// Int is a whole number, which may be written as 4, 4.0 or "4".
func Int(v jsontext.Value) (n int, ok bool) {
	f, ok := Float(v)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int(f), true
}

// Yes reads a truth, which may be written as true, 1 or "true"; anything else is otherwise.
func Yes(v jsontext.Value, otherwise bool) bool {
	text, ok := Text(v)
	if !ok {
		return otherwise
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "1", "1.0", "yes":
		return true
	case "false", "0", "0.0", "no":
		return false
	}
	return otherwise
}

// Refused reports whether an answer is a no: an error, or the result false.
func (m Message) Refused() bool { return failure(m.Error) || !Yes(m.Result, true) }

// failure reports whether an error is one: [], {}, "", false and the code 0 say that there is none.
func failure(v jsontext.Value) bool {
	if !given(v) {
		return false
	}
	if text, ok := Text(v); ok {
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "", "false", "0", "none", "null", "ok":
			return false
		}
		return true
	}
	values := Values(v, "code")
	if v.Kind() == '{' && !given(values[0]) {
		return len(strings.TrimSpace(string(v))) > len("{}")
	}
	code, isNumber := Int(at(values, 0))
	return len(values) > 0 && (!isNumber || code != 0)
}

// Code is the number of an error, 0 where it has none.
func (m Message) Code() int {
	code, _ := Int(at(Values(m.Error, "code"), 0))
	return code
}

// Words are the other side's reasons for a no, as it gave them.
func (m Message) Words() string {
	if m.Reason != "" {
		return m.Reason
	}
	values := Values(m.Error, "code", "message")
	for _, v := range []jsontext.Value{at(values, 1), m.Error} {
		if text, ok := Text(v); ok {
			return text
		}
	}
	if !given(m.Error) {
		return "no reason given"
	}
	return string(m.Error)
}
