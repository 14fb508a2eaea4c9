package trust

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds on labels and selectors.
const (
	maxLabels      = 32
	maxLabelLength = 63 // of a key, and of a value
)

// Selector chooses machines by their labels: all of its terms must hold. The zero value chooses
// every machine. A Selector never changes and may be used concurrently.
type Selector struct {
	terms []term
}

// term wants a label to have a value, or any value.
type term struct {
	key, value string
	any        bool
}

func (t term) String() string {
	if t.any {
		return t.key
	}
	return t.key + "=" + t.value
}

// ParseSelector reads terms separated by commas: "gpu=3080,site" chooses the machines whose label
// gpu is 3080 and that have a label site. The empty text chooses all.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	if text == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(part, "=")
		t := term{key, value, !found}
		if err := validateLabel(key, value); err != nil {
			return Selector{}, fmt.Errorf("selector: %w", err)
		}
		s.terms = append(s.terms, t)
		if len(s.terms) > maxLabels {
			return Selector{}, fmt.Errorf("selector: more than %d terms", maxLabels)
		}
	}
	return s, nil
}

// String returns the text that ParseSelector reads.
func (s Selector) String() string {
	parts := make([]string, len(s.terms))
	for i, t := range s.terms {
		parts[i] = t.String()
	}
	return strings.Join(parts, ",")
}

// Match reports whether a machine with these labels is chosen.
func (s Selector) Match(labels map[string]string) bool {
	for _, t := range s.terms {
		value, ok := labels[t.key]
		if !ok || !t.any && value != t.value {
			return false
		}
	}
	return true
}

// Within reports whether outer chooses every machine that s chooses, by the terms alone: s repeats
// each term of outer, or a narrower one.
func (s Selector) Within(outer Selector) bool {
	for _, o := range outer.terms {
		if !slices.ContainsFunc(s.terms, func(t term) bool { return t == o || o.any && t.key == o.key }) {
			return false
		}
	}
	return true
}

func validateLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return fmt.Errorf("%d labels are more than %d", len(labels), maxLabels)
	}
	for k, v := range labels {
		if err := validateLabel(k, v); err != nil {
			return err
		}
	}
	return nil
}

func validateLabel(key, value string) error {
	if key == "" || len(key) > maxLabelLength || !plain(key) {
		return fmt.Errorf("%q is no label key", key)
	}
	if len(value) > maxLabelLength || !plain(value) {
		return fmt.Errorf("%q is no value for the label %s", value, key)
	}
	return nil
}

// plain reports whether a text holds only letters, digits and a few signs that mean nothing to
// shells, terminals and selectors.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return false
		default:
			return !strings.ContainsRune("._-/", r)
		}
	})
}
