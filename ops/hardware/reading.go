package hardware

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"unicode"
)

// What a reading is out of reason beyond: such as a sensor gives that is broken.
const (
	coldest, hottest = -50, 150 // degrees Celsius
	mostWatts        = 3_000
)

// text reads a file of one line; empty where there is none.
func text(sys fs.FS, name string) string {
	b, err := fs.ReadFile(sys, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// number reads a number, in units of 1/scale; nil where there is none between least and most.
func number(sys fs.FS, name string, scale, least, most float64) *float64 {
	return parse(text(sys, name), scale, least, most)
}

func parse(s string, scale, least, most float64) *float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	v /= scale
	if err != nil || math.IsNaN(v) || v < least || v > most {
		return nil
	}
	return &v
}

func celsius(sys fs.FS, name string) *float64 { return number(sys, name, 1_000, coldest, hottest) }

// size reads a number of bytes.
func size(sys fs.FS, name string) *uint64 {
	n, err := strconv.ParseUint(text(sys, name), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// first is the first of some numbers that is known.
func first(all ...*float64) *float64 {
	for _, v := range all {
		if v != nil {
			return v
		}
	}
	return nil
}

// glob lists what a pattern means; none where nothing does.
func glob(sys fs.FS, pattern string) []string {
	all, err := fs.Glob(sys, pattern)
	if err != nil {
		return nil
	}
	return all
}

// link is the last element of where a link leads; empty where it cannot be told.
func link(sys fs.FS, name string) string {
	to, err := fs.ReadLink(sys, name)
	if err != nil {
		return ""
	}
	return path.Base(to)
}

// words makes a name that a device gives fit to be told.
func words(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(strings.ToValidUTF8(s[:min(len(s), maxText)], ""))
}
