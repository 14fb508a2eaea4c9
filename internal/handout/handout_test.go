package handout

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	f := Files{Text: filepath.Join(dir, "ticket.txt"), Picture: filepath.Join(dir, "ticket.png")}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	const text = "swarm1-abc"
	if err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{f.Text, f.Picture} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v: others may read it", path, info.Mode(), err)
		}
	}
	got, err := Read(f.Text)
	if err != nil || strings.TrimSpace(got) != text {
		t.Errorf("got %q, %v", got, err)
	}
	picture, err := os.ReadFile(f.Picture)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(picture)); err != nil || img.Bounds().Dx() < 100 {
		t.Errorf("the QR code is no picture of a size: %v", err)
	}
	if err := f.Check(); err == nil || f.Write(text) == nil {
		t.Error("the files of another ticket would be lost")
	}
	if err := (Files{Text: filepath.Join(dir, "none", "x")}).Check(); err == nil {
		t.Error("there is no such directory")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	utf16 := filepath.Join(dir, "utf16")
	if err := os.WriteFile(utf16, []byte("\xff\xfes\x00w\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{
		filepath.Join(dir, "none"): "neither a ticket",
		"nonsense":                 "neither a ticket",
		utf16:                      "UTF-16",
		dir:                        "read the ticket from",
	} {
		if _, err := Read(word); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", word, err, want)
		}
	}
	if got, err := Read("swarm1-cut"); err != nil || got != "swarm1-cut" {
		t.Errorf("a ticket that is cut is told by who reads it: %q, %v", got, err)
	}
}
