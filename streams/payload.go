package streams

import (
	"encoding"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// reading is how the payloads of one Go type are decoded.
type reading json.Options

var (
	// exactly is for types that name their members in JSON tags, of JSON that decodeEnvelope has
	// checked already.
	exactly = reading(json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)))
	// anyCase is for types with fields that have no name for JSON. As with encoding/json the name of
	// the field counts, in any case of its letters: a field Name would otherwise stay empty, without
	// a word, for a peer that says "name". Both at once are a duplicate, which is refused.
	anyCase = reading(json.JoinOptions(json.MatchCaseInsensitiveNames(true), jsontext.AllowInvalidUTF8(true)))
)

// readings remembers how types are read.
type readings struct{ known sync.Map } // reflect.Type to reading

func (r *readings) of(t reflect.Type) reading {
	if how, ok := r.known.Load(t); ok {
		return how.(reading)
	}
	how := readingOf(t)
	r.known.Store(t, how)
	return how
}

func readingOf(t reflect.Type) reading {
	if untagged(t, make(map[reflect.Type]bool)) {
		return anyCase
	}
	return exactly
}

// untagged reports whether a type has a field, at any depth, that JSON is to find by its Go name.
func untagged(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return untagged(t.Elem(), seen)
	case reflect.Struct:
	default:
		return false
	}
	if readsItself(reflect.PointerTo(t)) {
		return false
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-", !f.IsExported() && !f.Anonymous:
			continue
		case name == "" && !f.Anonymous, untagged(f.Type, seen):
			return true
		}
	}
	return false
}

// readsItself reports whether values of the type that t points to decode themselves.
func readsItself(t reflect.Type) bool {
	return slices.ContainsFunc([]reflect.Type{
		reflect.TypeFor[json.UnmarshalerFrom](), reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}, t.Implements)
}

func parsePayload(raw jsontext.Value, v any, how reading) error {
	if len(raw) == 0 || raw.Kind() == 'n' {
		return Errorf(CodeInvalid, "the payload is missing: send an object, {} when there is nothing to say")
	}
	if err := json.Unmarshal(raw, v, how); err != nil {
		return Errorf(CodeInvalid, "payload: %s", jsonReason(err))
	}
	err := validate(v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeInvalid, "payload: %w", err)
}
