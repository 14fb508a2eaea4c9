package cp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/seed-b490fa12/swarm/streams"
)

const maxElement = 255 // bytes in one element of a path, the limit of common file systems

// checkAsked admits the path of a request: what it may be is for the machine to say.
func checkAsked(p string) error {
	switch {
	case len(p) > MaxPath:
		return streams.Errorf(streams.CodeTooLarge, "the path has %d bytes, at most %d are allowed", len(p), MaxPath)
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl):
		return streams.Errorf(streams.CodeInvalid, "the path has a character that no path may have")
	}
	return nil
}

// checkPath admits what names one thing below a directory, and nothing outside of it.
func checkPath(p string) error { return checkPathOn(runtime.GOOS, p) }

func checkPathOn(system, p string) error {
	switch {
	case len(p) > MaxPath:
		return fmt.Errorf("it has more than %d bytes", MaxPath)
	case !fs.ValidPath(p):
		return errors.New("it must be relative, clean, with slashes, and must not lead out")
	case strings.Count(p, "/") >= MaxDepth:
		return fmt.Errorf("it has more than %d elements", MaxDepth)
	case p == ".":
		return nil
	}
	for e := range strings.SplitSeq(p, "/") {
		if err := checkElementOn(system, e); err != nil {
			return err
		}
	}
	return nil
}

// checkElement admits the name of one thing in a directory.
func checkElement(e string) error { return checkElementOn(runtime.GOOS, e) }

func checkElementOn(system, e string) error {
	switch {
	case e == "" || e == "." || e == ".." || strings.Contains(e, "/"):
		return fmt.Errorf("%q is no name", shorten(e))
	case len(e) > maxElement:
		return fmt.Errorf("a name has more than %d bytes", maxElement)
	case !utf8.ValidString(e):
		return errors.New("a name is no UTF-8")
	case strings.ContainsFunc(e, unicode.IsControl):
		return errors.New("a name has control characters")
	case isPart(e):
		return fmt.Errorf("%q is a name of unfinished copies", shorten(e))
	}
	if system == "windows" {
		return checkWindows(e)
	}
	return nil
}

// checkWindows refuses what Windows would take for something else.
func checkWindows(e string) error {
	switch {
	case strings.ContainsAny(e, `\:*?"<>|`):
		return fmt.Errorf("%q has a character that Windows has another use for", shorten(e))
	case strings.HasSuffix(e, ".") || strings.HasSuffix(e, " "):
		return fmt.Errorf("%q ends in a dot or a space", shorten(e))
	}
	base, _, _ := strings.Cut(strings.ToUpper(e), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return fmt.Errorf("%q is a reserved name on Windows", shorten(e))
	}
	for _, device := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(base, device); ok && n != "" && strings.Contains("0123456789¹²³", n) {
			return fmt.Errorf("%q is a reserved name on Windows", shorten(e))
		}
	}
	return nil
}

// folded is a path as the file system of this machine tells it from others.
func folded(p string) string { return foldedOn(runtime.GOOS, p) }

func foldedOn(system, p string) string {
	if system != "windows" && system != "darwin" {
		return p
	}
	return strings.ToLower(strings.ToUpper(norm.NFC.String(p)))
}

// The name of what has arrived of a file stands beside it.
const (
	partPrefix = "."
	partSuffix = ".swarm-part"
)

// partOf is what a file is called until it is whole.
func partOf(name string) string {
	if len(partPrefix)+len(name)+len(partSuffix) > maxElement {
		sum := sha256.Sum256([]byte(name))
		cut := name[:150]
		for !utf8.ValidString(cut) {
			cut = cut[:len(cut)-1]
		}
		name = cut + "." + hex.EncodeToString(sum[:8])
	}
	return partPrefix + name + partSuffix
}

func isPart(name string) bool {
	return strings.HasPrefix(name, partPrefix) && strings.HasSuffix(strings.ToLower(name), partSuffix)
}

// named is the set of entries that a machine has named: each once, and each in a directory that was named
// before it.
type named struct {
	seen  map[string]Kind // by folded path
	names int             // bytes of all paths
	size  int64           // of all files
}

// add takes the next entry.
func (n *named) add(e Entry) error {
	if n.seen == nil {
		n.seen = make(map[string]Kind)
	}
	key := folded(e.Path)
	n.names += len(e.Path)
	n.size += e.Size // below 2^53 before, and so is this one
	switch {
	case len(n.seen) >= MaxEntries:
		return streams.Errorf(streams.CodeTooLarge, "there are more than %d files and directories; copy parts, or an archive", MaxEntries)
	case n.size >= maxInteger:
		return streams.Errorf(streams.CodeTooLarge, "the files have more than 2^53 bytes")
	case n.names > MaxNames:
		return streams.Errorf(streams.CodeTooLarge, "the paths have more than %d bytes; copy parts, or an archive", MaxNames)
	case n.seen[key] != "":
		return broke("it names %q twice, as this machine tells names apart", shorten(e.Path))
	case e.Path != "." && n.seen[folded(path.Dir(e.Path))] != KindDir:
		return broke("it names %q, and no directory of it", shorten(e.Path))
	}
	n.seen[key] = e.Kind
	return nil
}

// broke says that the other side does not keep to the protocol.
func broke(format string, args ...any) error {
	return streams.Errorf(streams.CodeInternal, "the other side broke the protocol: %s", fmt.Sprintf(format, args...))
}

// shorten keeps a stranger's text from filling what a person reads.
func shorten(s string) string {
	const most = 128
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
