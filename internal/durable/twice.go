package durable

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// ErrDamaged says that neither of two copies of a file is whole.
var ErrDamaged = errors.New("damaged")

// copyEnding is what the name of a second copy ends in.
const copyEnding = ".copy"

// headLength is that of the line before the data: the SHA-256 of it, in hexadecimal.
const headLength = 2*sha256.Size + 1

// WriteTwice writes data with a checksum to path, as WriteFile does, and to a second file beside
// it, for [ReadTwice]. After an error ReadTwice returns what was there before, or data.
func WriteTwice(path string, data []byte, perm fs.FileMode) error {
	whole := append(head(data), data...)
	// The copy first: it counts only where the file itself does not.
	if err := WriteFile(path+copyEnding, whole, perm); err != nil {
		return err
	}
	return WriteFile(path, whole, perm)
}

func head(data []byte) []byte {
	sum := sha256.Sum256(data)
	return append(hex.AppendEncode(nil, sum[:]), '\n')
}

// ReadTwice returns the data that was written last by [WriteTwice], which are at most so many bytes.
// Where the file itself is damaged or gone it returns the second one's, and mended says why. The
// error matches fs.ErrNotExist where there is none of both, and [ErrDamaged] where none is whole.
func ReadTwice(path string, most int64) (data []byte, mended error, err error) {
	data, first := readOnce(path, most)
	if first == nil || errors.Is(first, ErrUnsafe) {
		return data, nil, first
	}
	data, second := readOnce(path+copyEnding, most)
	switch {
	case second == nil:
		return data, first, nil
	case errors.Is(first, fs.ErrNotExist) && errors.Is(second, fs.ErrNotExist):
		return nil, nil, first
	}
	return nil, nil, fmt.Errorf("%w: %w; the second copy: %w", ErrDamaged, first, second)
}

func readOnce(path string, most int64) ([]byte, error) {
	b, err := ReadFile(path, most+headLength)
	if err != nil {
		return nil, err
	}
	if len(b) < headLength || !bytes.Equal(b[:headLength], head(b[headLength:])) {
		return nil, fmt.Errorf("%s is not what was written there", path)
	}
	return b[headLength:], nil
}
