//go:build !unix

package durable

import (
	"io/fs"
	"os"
)

func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

func foreign(string, fs.FileInfo) string { return "" }
