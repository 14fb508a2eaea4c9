// Package handout gives a ticket to a person: as text or as a QR code on a terminal, or as a file, and
// takes it back from one.
package handout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mdp/qrterminal/v3"
	"rsc.io/qr"

	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

const maxFile = 64 << 10 // bytes of a file with a ticket, and what else a person has pasted into it

// Files are where a ticket goes beside the terminal. Whoever reads one of them has the ticket, so they
// are for their owner only.
type Files struct {
	Text    string // a path; empty for none
	Picture string // of a PNG with the QR code; empty for none
}

// Check says in advance what would keep the files from being written, so that no ticket is made in vain.
func (f Files) Check() error {
	for _, path := range f.paths() {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already: give another name, or remove it", path)
		}
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return fmt.Errorf("there is no directory %s to write %s into", filepath.Dir(path), filepath.Base(path))
		}
	}
	return nil
}

func (f Files) paths() (out []string) {
	for _, path := range []string{f.Text, f.Picture} {
		if path != "" {
			out = append(out, path)
		}
	}
	return out
}

// Write writes the ticket into the files.
func (f Files) Write(text string) error {
	if f.Text != "" {
		if err := durable.CreateFile(f.Text, []byte(text+"\n"), 0o600); err != nil {
			return err
		}
	}
	if f.Picture == "" {
		return nil
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("make the QR code: %w", err)
	}
	return durable.CreateFile(f.Picture, code.PNG(), 0o600)
}

// Show draws a ticket on a terminal as a QR code.
func Show(w io.Writer, text string) {
	qrterminal.GenerateWithConfig(text, qrterminal.Config{Level: qrterminal.L, Writer: w, HalfBlocks: true, QuietZone: 1,
		BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE, BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK})
}

// Read returns the text that holds a ticket: word itself, or the contents of the file of that name.
func Read(word string) (string, error) {
	if _, err := ticket.Parse(word); !errors.Is(err, ticket.ErrNotTicket) {
		return word, nil // what is wrong with it is found again
	}
	text, err := durable.ReadLinked(word, maxFile)
	if errors.Is(err, fs.ErrNotExist) || strings.ContainsRune(word, 0) {
		return "", fmt.Errorf("%q is neither a ticket, which begins with swarm1-, nor a file with one", word)
	}
	if err == nil {
		text, err = durable.Text(text)
	}
	if err != nil {
		return "", fmt.Errorf("read the ticket from %s: %w", word, err)
	}
	return string(text), nil
}
