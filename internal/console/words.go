package console

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/seed-b490fa12/swarm/streams"
)

var (
	exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)
	arguments = regexp.MustCompile(`^(?:accepts|requires) (.*) arg\(s\), (?:only )?received (\d+)$`)
)

// Words is an error in the words of this program: without the number of a machine's answer, which
// scripts find in JSON, and without those of the library that reads the command line.
func Words(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*streams.Error](err); ok {
		words := e.Message
		if e.Trace != "" {
			words += "; the machine's log says more at trace " + e.Trace
		}
		text = strings.Replace(text, e.Error(), words, 1)
	}
	if m := exclusive.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("--%s exclude each other: give one of them", strings.Join(strings.Fields(m[1]), " and --"))
	}
	if m := arguments.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("the command takes %s, and %s were given; see it with --help", counted(m[1]), m[2])
	}
	return text
}

// counted is a number of arguments in words.
func counted(n string) string {
	if n == "1" {
		return "one argument"
	}
	return n + " arguments"
}
