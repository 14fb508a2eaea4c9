package deploy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/unicode/norm"

	"github.com/seed-b490fa12/swarm/streams"
)

// Bounds of a manifest.
const (
	MaxFiles      = 10_000
	MaxEntries    = 10_000 // files and the directories they are in
	MaxNameLength = 64     // bytes
	MaxPathLength = 512    // bytes
	MaxDepth      = 32     // elements of a path: a short manifest must not make half a million directories
	// MaxManifest is how many bytes of JSON a manifest may have: a frame, less room for the
	// envelope.
	MaxManifest = streams.MaxFrame - 4<<10

	maxElement    = 255 // bytes in one element of a path, the limit of common file systems
	releaseLength = 16  // hexadecimal digits
)

// The two modes of a file.
const (
	ModeFile = "0644"
	ModeExec = "0755"
)

// Manifest says what a bundle consists of, byte for byte.
type Manifest struct {
	// Name is the deployment's name: 1 to 64 of [a-z0-9._-], beginning with a letter or digit or
	// underscore.
	Name string `json:"name"`
	// Release identifies the content: the first 16 hexadecimal digits of the SHA-256 of the
	// canonical text.
	Release string `json:"release"`
	// Files are sorted by path.
	Files []File `json:"files"`
}

// File is one file of a bundle.
type File struct {
	// Path is relative, with slashes.
	Path string `json:"path"`
	// Mode is "0644" or "0755".
	Mode string `json:"mode"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is the hash of the content, in 64 lower-case hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Entries is the number of files and of the directories they are in.
func (m Manifest) Entries() int { return len(m.Files) + len(m.dirs()) }

// Room is the number of bytes that the bundle counts for: those of its files, and EntryBytes for
// each entry.
func (m Manifest) Room() int64 { return m.Size() + int64(m.Entries())*EntryBytes }

// dirs are the directories of all files, without the bundle's own.
func (m Manifest) dirs() map[string]bool {
	dirs := make(map[string]bool)
	for _, f := range m.Files {
		for p := path.Dir(f.Path); p != "." && p != "/" && !dirs[p]; p = path.Dir(p) {
			dirs[p] = true
		}
	}
	return dirs
}

// Size is the number of bytes of all files. It is -1 if a size makes no sense.
func (m Manifest) Size() int64 {
	var sum int64
	for _, f := range m.Files {
		if f.Size < 0 || sum+f.Size < sum {
			return -1
		}
		sum += f.Size
	}
	return sum
}

// ComputeRelease returns what Release has to be. The canonical text is a line "swarm manifest 1", a
// line with the name, and for each file a line of mode, size, hash and path, each separated by one
// space; every line ends with "\n".
func (m Manifest) ComputeRelease() string {
	h := sha256.New()
	fmt.Fprintf(h, "swarm manifest 1\n%s\n", m.Name)
	for _, f := range m.Files {
		fmt.Fprintf(h, "%s %d %s %s\n", f.Mode, f.Size, f.SHA256, f.Path)
	}
	return hex.EncodeToString(h.Sum(nil))[:releaseLength]
}

// Validate reports the first thing that is wrong, as a streams.Error: 413 when a bound is exceeded,
// else 400. A valid manifest can be written on every operating system, whichever one it was made
// on, without leaving its directory.
func (m Manifest) Validate() error {
	if err := checkName(m.Name); err != nil {
		return streams.Errorf(streams.CodeInvalid, "name %q: %w", m.Name, err)
	}
	switch {
	case len(m.Files) == 0:
		return streams.Errorf(streams.CodeInvalid, "the bundle has no files")
	case len(m.Files) > MaxFiles:
		return streams.Errorf(streams.CodeTooLarge,
			"the bundle has %d files, at most %d are allowed; pack them into an archive", len(m.Files), MaxFiles)
	case m.Size() < 0:
		return streams.Errorf(streams.CodeInvalid, "the sizes of the files make no sense")
	}
	seen := newPathSet(len(m.Files))
	for i, f := range m.Files {
		err := f.check()
		if err == nil && i > 0 && f.Path <= m.Files[i-1].Path {
			err = errors.New("the files are not sorted by path, or there are two of them")
		}
		if err == nil {
			err = seen.add(f.Path)
		}
		if len(seen) > MaxEntries { // before there are half a million
			return streams.Errorf(streams.CodeTooLarge,
				"the bundle has more than %d files and directories; pack them into an archive", MaxEntries)
		}
		if err != nil {
			return streams.Errorf(streams.CodeInvalid, "file %q: %w", shorten(f.Path), err)
		}
	}
	if m.Room() < 0 {
		return streams.Errorf(streams.CodeInvalid, "the sizes of the files make no sense")
	}
	if want := m.ComputeRelease(); m.Release != want {
		return streams.Errorf(streams.CodeInvalid, "release is %q, the files give %q", shorten(m.Release), want)
	}
	return nil
}

// checkFrame makes sure that the manifest can be sent.
func (m Manifest) checkFrame() error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if len(text) > MaxManifest {
		return streams.Errorf(streams.CodeTooLarge,
			"the list of %d files takes %d bytes, at most %d can be sent; pack them into an archive",
			len(m.Files), len(text), MaxManifest)
	}
	return nil
}

// checkName admits one safe path element.
func checkName(name string) error {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
	}
	switch {
	case name == "" || len(name) > MaxNameLength:
		return fmt.Errorf("it must have 1 to %d characters", MaxNameLength)
	case strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }):
		return errors.New("only a-z, 0-9, dot, underscore and hyphen are allowed")
	case name[0] == '.' || name[0] == '-':
		return errors.New("it must not begin with a dot or hyphen")
	}
	return checkElement(name)
}

func (f File) check() error {
	switch {
	case f.Mode != ModeFile && f.Mode != ModeExec:
		return fmt.Errorf("mode %q must be %q or %q", shorten(f.Mode), ModeFile, ModeExec)
	case len(f.SHA256) != sha256.Size*2 || strings.Trim(f.SHA256, "0123456789abcdef") != "":
		return errors.New("sha256 must be 64 lower-case hexadecimal digits")
	}
	return checkPath(f.Path)
}

// checkPath admits what names the same single file on Linux, macOS and Windows.
func checkPath(p string) error {
	switch {
	case len(p) > MaxPathLength:
		return fmt.Errorf("the path is longer than %d bytes", MaxPathLength)
	case !fs.ValidPath(p) || p == ".":
		return errors.New("the path must be relative, clean, with slashes, and must not lead out")
	case strings.ContainsAny(p, `\:`):
		return errors.New("the path must not contain a backslash or a colon")
	case strings.ContainsFunc(p, unicode.IsControl):
		return errors.New("the path must not contain control characters")
	}
	if depth := strings.Count(p, "/") + 1; depth > MaxDepth {
		return fmt.Errorf("the path has %d elements, at most %d are allowed", depth, MaxDepth)
	}
	for element := range strings.SplitSeq(p, "/") {
		if err := checkElement(element); err != nil {
			return err
		}
	}
	return nil
}

// checkElement refuses what Windows would take for something else.
func checkElement(e string) error {
	if len(e) > maxElement {
		return fmt.Errorf("%q… is longer than %d bytes", e[:16], maxElement)
	}
	if strings.HasSuffix(e, ".") || strings.HasSuffix(e, " ") {
		return fmt.Errorf("%q ends in a dot or a space", e)
	}
	base, _, _ := strings.Cut(strings.ToUpper(e), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return fmt.Errorf("%q is a reserved name on Windows", e)
	}
	for _, device := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(base, device); ok && strings.Contains("0 1 2 3 4 5 6 7 8 9 ¹ ² ³", n) && n != "" && n != " " {
			return fmt.Errorf("%q is a reserved name on Windows", e)
		}
	}
	return nil
}

// pathSet finds paths that some file systems take for one: by upper and lower case, or by the
// composition of accents.
type pathSet map[string]string // folded → as written; directories end in a slash

func newPathSet(n int) pathSet { return make(pathSet, n) }

func (s pathSet) add(p string) error {
	if _, ok := s[fold(p)+"/"]; ok {
		return errors.New("it is a file and a directory at once")
	}
	if err := s.insert(p); err != nil {
		return err
	}
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := s[fold(dir)]; ok {
			return fmt.Errorf("%q is a file and a directory at once", dir)
		}
		if err := s.insert(dir + "/"); err != nil {
			return err
		}
	}
	return nil
}

func (s pathSet) insert(p string) error {
	key := fold(p)
	if old, ok := s[key]; ok && old != p {
		return fmt.Errorf("it differs from %q only in upper and lower case or accents, which some file systems do not tell apart", old)
	}
	s[key] = p
	return nil
}

func fold(p string) string { return strings.ToLower(strings.ToUpper(norm.NFC.String(p))) }

// shorten keeps a stranger's text from filling our logs.
func shorten(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
