package cpcli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

const forms = "write the one on a machine as NAME:PATH, as in: swarm cp app.log rig-01:/srv/logs/"

// Parse says what is to be copied where: of the two paths one is of a machine, NAME:PATH.
func Parse(source, destination string) (y agent.Copy, err error) {
	from, there, fromMachine := split(runtime.GOOS, source)
	to, goes, toMachine := split(runtime.GOOS, destination)
	switch {
	case fromMachine && toMachine:
		return y, fmt.Errorf("both %.80q and %.80q are on a machine: copy to this one first", source, destination)
	case !fromMachine && !toMachine:
		return y, fmt.Errorf("neither %.80q nor %.80q is on a machine; %s", source, destination, forms)
	case fromMachine:
		y = agent.Copy{Machine: from, Remote: there}
		y.Local, err = whole(destination)
	default:
		y = agent.Copy{Machine: to, Remote: goes, Sends: true}
		y.Local, err = whole(source)
	}
	return y, err
}

// split splits a path of a machine. A colon behind a slash, and that of a drive of Windows, is part of a
// path of this machine.
func split(system, word string) (machine, path string, ok bool) {
	begin := 0
	if strings.HasPrefix(word, "/") { // an address, whose last part is the peer ID
		if begin = strings.LastIndex(word, "/p2p/"); begin < 0 {
			return "", word, false
		}
		begin += len("/p2p/")
	}
	i := strings.IndexAny(word[begin:], `:/\`)
	if i <= 0 || word[begin+i] != ':' {
		return "", word, false
	}
	machine, path = word[:begin+i], word[begin+i+1:]
	if len(machine) == 1 && (system == "windows" || strings.HasPrefix(path, `\`)) {
		return "", word, false
	}
	return machine, path, true
}

// whole is a path of this machine from its root on, which still says whether it was written as a directory, or
// as its contents.
func whole(path string) (string, error) {
	if path == "" {
		return "", errors.New("an empty path; write . for this directory")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	last := path
	if i := strings.LastIndexFunc(path, func(r rune) bool { return r == '/' || r < 0x80 && os.IsPathSeparator(uint8(r)) }); i >= 0 {
		last = path[i+1:]
	}
	switch last {
	case "":
		return strings.TrimRight(abs, string(filepath.Separator)) + string(filepath.Separator), nil
	case ".", "..":
		return strings.TrimRight(abs, string(filepath.Separator)) + string(filepath.Separator) + ".", nil
	}
	return abs, nil
}
