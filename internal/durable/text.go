package durable

import (
	"bytes"
	"errors"
)

var (
	// ErrUTF16 says that a file was written in UTF-16.
	ErrUTF16 = errors.New("it is in UTF-16, as Windows programs write it: save it as UTF-8")
	// ErrZeros says that a file has lost its contents, as happens when the power goes.
	ErrZeros = errors.New("it holds nothing but zero bytes, and was probably lost in a power cut")
)

// Text is the text of a file that a person has written: without the byte order mark of some editors,
// and with the line ends of Unix. What is no UTF-8 is named.
func Text(data []byte) ([]byte, error) {
	switch {
	case len(data) > 0 && len(bytes.Trim(data, "\x00")) == 0:
		return nil, ErrZeros
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")), halfZeros(data):
		return nil, ErrUTF16
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	return bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), nil
}

// halfZeros reports whether each second byte at the beginning is zero, as in UTF-16 without a mark.
func halfZeros(data []byte) bool {
	return len(data) >= 4 && (data[0] == 0) != (data[1] == 0) && (data[0] == 0) == (data[2] == 0) && (data[1] == 0) == (data[3] == 0)
}
