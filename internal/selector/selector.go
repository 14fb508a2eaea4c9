// Package selector chooses machines by their labels, as people write it on the command line. What is
// signed in grants is simpler: package trust has that.
package selector

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/nearest"
)

const (
	maxLength = 4096
	maxTerms  = 64
)

// Selector chooses machines: all of its terms must hold. The zero value chooses every one.
type Selector struct{ terms []term }

// term wants the value of a label to be one of some, or none of them; or the label to be there.
type term struct {
	text   string
	key    string
	values []string // empty: any value
	not    bool     // none of values, and no label is as good
}

// Parse reads terms separated by commas, each one of
//
//	key            the label is there
//	key=value      it has this value
//	key!=value     it is not there, or has another value
//	key in (a,b)   it has one of these values
func Parse(text string) (Selector, error) {
	var s Selector
	if len(text) > maxLength {
		return s, fmt.Errorf("longer than %d bytes", maxLength)
	}
	parts, err := split(text)
	if err != nil {
		return s, err
	}
	for _, part := range parts {
		t, err := parseTerm(strings.TrimSpace(part))
		if err != nil {
			return Selector{}, err
		}
		if s.terms = append(s.terms, t); len(s.terms) > maxTerms {
			return Selector{}, fmt.Errorf("more than %d terms", maxTerms)
		}
	}
	return s, nil
}

// split parts terms at commas outside of brackets.
func split(text string) (parts []string, err error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	inside, from := false, 0
	for i, r := range text {
		switch {
		case r == '(' && !inside:
			inside = true
		case r == ')' && inside:
			inside = false
		case r == '(' || r == ')':
			return nil, fmt.Errorf("%q: brackets that do not fit; %s", text, want)
		case r == ',' && !inside:
			parts, from = append(parts, text[from:i]), i+1
		}
	}
	if inside {
		return nil, fmt.Errorf("%q: a bracket is not closed; %s", text, want)
	}
	return append(parts, text[from:]), nil
}

const want = "want key=value, key!=value, key in (a,b) or key"

func parseTerm(text string) (t term, err error) {
	t = term{text: text}
	if key, list, ok := strings.Cut(text, " in "); ok || strings.Contains(text, "(") {
		return t.in(key, list)
	}
	key, value, ok := strings.Cut(text, "=")
	if ok {
		key, t.not = strings.CutSuffix(key, "!")
		value, _ = strings.CutPrefix(value, "=") // who writes programs writes ==
		if value = strings.TrimSpace(value); strings.ContainsAny(value, "=!()") {
			return t, fmt.Errorf("%q: %s", text, want)
		}
		t.values = []string{value}
	}
	t.key = strings.TrimSpace(key)
	return t, t.check()
}

// in reads "key in (a,b)".
func (t term) in(key, list string) (term, error) {
	t.key = strings.TrimSpace(key)
	list = strings.TrimSpace(list)
	if !strings.HasPrefix(list, "(") || !strings.HasSuffix(list, ")") {
		return t, fmt.Errorf("%q: %s", t.text, want)
	}
	for v := range strings.SplitSeq(list[1:len(list)-1], ",") {
		switch v = strings.TrimSpace(v); {
		case v == "":
			return t, fmt.Errorf("%q: a value is missing; %s", t.text, want)
		case strings.ContainsAny(v, "=!()"):
			return t, fmt.Errorf("%q: %s", t.text, want)
		}
		t.values = append(t.values, v)
	}
	return t, t.check()
}

func (t term) check() error {
	if key, value, ok := strings.Cut(t.key, ":"); ok && t.values == nil {
		return fmt.Errorf("%q: %s; did you mean %s=%s?", t.text, want, key, strings.TrimSpace(value))
	}
	if t.key == "" || strings.ContainsAny(t.key, " \t\n:!()'\"") {
		return fmt.Errorf("%q: %s", t.text, want)
	}
	return nil
}

// String returns the text that Parse reads.
func (s Selector) String() string {
	parts := make([]string, len(s.terms))
	for i, t := range s.terms {
		parts[i] = t.text
	}
	return strings.Join(parts, ",")
}

// Match reports whether a machine with these labels is chosen.
func (s Selector) Match(labels map[string]string) bool {
	return !slices.ContainsFunc(s.terms, func(t term) bool { return !t.match(labels) })
}

func (t term) match(labels map[string]string) bool {
	value, there := labels[t.key]
	switch {
	case t.not:
		return !there || !slices.Contains(t.values, value)
	case len(t.values) == 0:
		return there
	}
	return there && slices.Contains(t.values, value)
}

// Missed says why a selector chooses none of some machines, given the labels of each; "" where no
// single term is to blame.
func (s Selector) Missed(machines []map[string]string) string {
	known := make(map[string]map[string]bool)
	for _, labels := range machines {
		for k, v := range labels {
			if known[k] == nil {
				known[k] = make(map[string]bool)
			}
			known[k][v] = true
		}
	}
	for _, t := range s.terms {
		if slices.ContainsFunc(machines, t.match) {
			continue
		}
		if values, ok := known[t.key]; ok {
			return fmt.Sprintf("%s is %s", t.key, list(values))
		}
		return fmt.Sprintf("none has a label %s%s", t.key, nearest.Hint(t.key, slices.Sorted(maps.Keys(known))))
	}
	return ""
}

// list names a few values.
func list(values map[string]bool) string {
	const shown = 8
	all := slices.Sorted(maps.Keys(values))
	if len(all) > shown {
		return strings.Join(all[:shown], ", ") + ", …"
	}
	if len(all) == 1 {
		return all[0] + " everywhere"
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// Value is a flag that takes selectors; each further one narrows.
type Value struct{ Text *string }

// Set adds a selector.
func (v Value) Set(text string) error {
	s, err := Parse(text)
	if err != nil {
		return err
	}
	if len(s.terms) == 0 {
		return errors.New(want)
	}
	if *v.Text != "" {
		*v.Text += ","
	}
	*v.Text += s.String()
	return nil
}

// String returns all selectors as one.
func (v Value) String() string {
	if v.Text == nil {
		return ""
	}
	return *v.Text
}

// Type names what the flag takes.
func (v Value) Type() string { return "selector" }
