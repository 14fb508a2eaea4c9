package workloadcli

import (
	"errors"

	"github.com/docker/go-units"
)

// size is a number of bytes as the value of a flag; its units are binary.
type size int64

func (s *size) Set(text string) error {
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 {
		return errors.New("want a size such as 512KiB, 64MiB or 2GiB")
	}
	*s = size(n)
	return nil
}

func (s *size) Type() string { return "size" }

// String is empty for no size, so that help shows no default.
func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return units.BytesSize(float64(*s))
}
