package output

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// moments are the members that say when something was, is or ends, wherever they stand. Files, the
// controller's socket and the messages of machines hold them in Unix milliseconds, 0 for unknown.
var moments = map[string]bool{
	"expires": true, "issued": true, "last": true, "lastSeen": true, "receivedAt": true, "sentAt": true, "since": true,
	"time": true, "timestamp": true, "until": true,
}

// timeLayout is RFC 3339 in milliseconds: texts of it sort as their times do.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// withMoments returns JSON with its moments in RFC 3339, or null where they are not known. All else
// is as it was.
func withMoments(b []byte) ([]byte, error) {
	var out bytes.Buffer
	lenient := []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}
	enc, dec := jsontext.NewEncoder(&out, lenient...), jsontext.NewDecoder(bytes.NewReader(b), lenient...)
	for dec.PeekKind() != jsontext.KindInvalid {
		in, n := dec.StackIndex(dec.StackDepth())
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if in == jsontext.KindBeginObject && n%2 == 1 {
			tok = moment(dec, tok)
		}
		if err := enc.WriteToken(tok); err != nil {
			return nil, err
		}
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// moment returns the value of a member as it is printed. Labels are named by people, so their names
// mean nothing here.
func moment(dec *jsontext.Decoder, tok jsontext.Token) jsontext.Token {
	if kind := tok.Kind(); kind != jsontext.KindNumber && kind != jsontext.KindString {
		return tok
	}
	parent, name := dec.StackPointer().Parent(), dec.StackPointer().LastToken()
	if !moments[name] || strings.HasSuffix(string(parent), "/labels") {
		return tok
	}
	var at time.Time
	if ms, err := strconv.ParseInt(tok.String(), 10, 64); err == nil && ms != 0 {
		at = time.UnixMilli(ms)
	} else if err != nil {
		if at, err = time.Parse(time.RFC3339Nano, tok.String()); err != nil {
			return tok
		}
	}
	if at.IsZero() {
		return jsontext.Null
	}
	return jsontext.String(at.UTC().Format(timeLayout))
}
