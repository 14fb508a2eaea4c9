package ticket

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
)

// maxPasted bounds the text in which a ticket is looked for, in bytes: a mail, or the screen of a
// terminal.
const maxPasted = 64 << 10

// Parse finds the ticket in a text that was copied: one that was wrapped, quoted in a mail, put into
// quotation marks, or copied with what stood around it. The checksum tells where it ends. The error
// matches [ErrNotTicket] or [ErrAltered].
func Parse(text string) (*Ticket, error) {
	if len(text) > maxPasted {
		return nil, ErrNotTicket
	}
	text = strings.NewReplacer("=\r\n", "", "=\n", "").Replace(text) // quoted-printable
	wrong := ErrNotTicket
	for _, after := range strings.Split(strings.Map(plain, text), prefix)[1:] {
		t, err := assemble(after)
		if err == nil {
			return t, nil
		}
		wrong = err
	}
	return nil, wrong
}

// plain undoes what word processors and chat programs do to a text: characters without width, and
// hyphens that look well.
func plain(r rune) rune {
	switch r {
	case '\u2010', '\u2011', '\u2012', '\u2013', '\u2212', '\ufe63', '\uff0d':
		return '-'
	}
	if unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

// assemble puts a ticket together from the pieces behind the prefix, until the checksum is right.
func assemble(after string) (*Ticket, error) {
	var text strings.Builder
	wrong := ErrAltered
	for piece := range strings.FieldsFuncSeq(after, foreign) {
		if text.WriteString(piece); text.Len() > maxText {
			break
		}
		t, err := parse(text.String())
		if err == nil {
			return t, nil
		}
		wrong = err
	}
	return nil, wrong
}

// foreign reports whether a character may stand between the pieces of a ticket: it is in none, and
// is no padding, which none has.
func foreign(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' && r != '='
}

// parse reads what is behind the prefix of a ticket, and nothing else.
func parse(text string) (*Ticket, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(data) <= checksumBytes || len(text) > maxText {
		return nil, ErrAltered
	}
	data, told := data[:len(data)-checksumBytes], data[len(data)-checksumBytes:]
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:checksumBytes], told) {
		return nil, ErrAltered
	}
	t, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAltered, err)
	}
	return t, nil
}
