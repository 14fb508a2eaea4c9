//go:build !unix

package durable

import "io/fs"

const openPlain = 0

func foreign(string, fs.FileInfo) string { return "" }
