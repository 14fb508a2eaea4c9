// Package contract checks lines that commands print with --json against the table of members in
// docs/json.md, for the tests that run commands.
package contract

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Members are the members that lines may have, each with the types that its value may have.
type Members map[string][]string

var row = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([a-z/ ]+) \\| ")

// New reads the table of members at the end of docs/json.md, whose text is given.
func New(document []byte) (Members, error) {
	_, table, found := strings.Cut(string(document), "\n## Members\n")
	rows := row.FindAllStringSubmatch(table, -1)
	if !found || len(rows) < 50 {
		return nil, fmt.Errorf("found %d members", len(rows))
	}
	m := make(Members)
	for _, r := range rows {
		if m[r[1]] != nil {
			return nil, fmt.Errorf("%s is there twice", r[1])
		}
		m[r[1]] = strings.Split(r[2], " or ")
	}
	return m, nil
}

// Check returns what is wrong with a line.
func (m Members) Check(line []byte) error {
	var object map[string]any
	if err := json.Unmarshal(line, &object); err != nil {
		return fmt.Errorf("no object: %w", err)
	}
	_, hasOK := object["ok"]
	_, hasError := object["error"]
	if hasError && !hasOK {
		return errors.New("an error without ok")
	}
	return m.object("", object)
}

// CheckAll checks each line of an output.
func (m Members) CheckAll(out string) (err error) {
	for line := range strings.Lines(out) {
		if bad := m.Check([]byte(line)); bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: %s", bad, line))
		}
	}
	return err
}

func (m Members) object(at string, object map[string]any) (err error) {
	for name, value := range object {
		where := at + "/" + name
		types, known := m[name]
		switch {
		case !known:
			err = errors.Join(err, fmt.Errorf("%s is not in the table of members of docs/json.md", where))
		case !fits(types, value):
			err = errors.Join(err, fmt.Errorf("%s is %v, and docs/json.md says %s", where, value, strings.Join(types, " or ")))
		case name != "labels" && name != "details": // there names are anybody's
			err = errors.Join(err, m.value(where, value))
		}
	}
	return err
}

func (m Members) value(where string, value any) (err error) {
	switch v := value.(type) {
	case map[string]any:
		return m.object(where, v)
	case []any:
		for _, item := range v {
			err = errors.Join(err, m.value(where, item))
		}
	}
	return err
}

func fits(types []string, value any) bool {
	for _, t := range types {
		switch v := value.(type) {
		case nil:
			if t == "null" {
				return true
			}
		case bool:
			if t == "yes/no" {
				return true
			}
		case float64:
			if t == "number" {
				return true
			}
		case string:
			_, err := time.Parse(time.RFC3339, v)
			if t == "text" && err != nil || t == "time" && err == nil && strings.HasSuffix(v, "Z") {
				return true
			}
		case []any:
			if t == "list" {
				return true
			}
		case map[string]any:
			if t == "object" {
				return true
			}
		}
		if t == "any" {
			return true
		}
	}
	return false
}
