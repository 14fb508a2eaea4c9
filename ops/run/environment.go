package run

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/streams"
)

// kept are the variables of the worker that every command has, and those that begin with LC_.
var kept = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TERM", "SystemRoot", "PATHEXT"}

// defaultPath is for a worker that has none, as some supervisors start them.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is all that a command gets to see: a few variables of ours, the kind of terminal that it has,
// and those of the request.
func environment(ours []string, tty *TTY, asked map[string]string) []string {
	all := make(map[string]string)
	for _, kv := range ours {
		name, value, _ := strings.Cut(kv, "=")
		if slices.Contains(kept, name) || strings.HasPrefix(name, "LC_") {
			all[name] = value
		}
	}
	if all["PATH"] == "" && runtime.GOOS != "windows" {
		all["PATH"] = defaultPath
	}
	if all["HOME"] == "" {
		if home, err := os.UserHomeDir(); err == nil {
			all["HOME"] = home
		}
	}
	if tty != nil && tty.Term != "" {
		all["TERM"] = tty.Term
	}
	maps.Copy(all, asked)
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// variable returns one of an environment.
func variable(env []string, name string) string {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// inUTF8 reports whether the characters of an environment are UTF-8. Of its variables the first one that is
// set counts.
func inUTF8(env []string) bool {
	locale := cmp.Or(variable(env, "LC_ALL"), variable(env, "LC_CTYPE"), variable(env, "LANG"))
	_, charset, _ := strings.Cut(strings.ToLower(locale), ".")
	return strings.HasPrefix(charset, "utf-8") || strings.HasPrefix(charset, "utf8")
}

// directory is where a command runs.
func directory(env []string, asked string) (string, error) {
	if asked == "" {
		home := variable(env, "HOME")
		if info, err := os.Stat(home); err == nil && info.IsDir() && filepath.IsAbs(home) {
			return home, nil
		}
		return os.TempDir(), nil // a user of a service may have no home
	}
	info, err := os.Stat(asked)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir(), !filepath.IsAbs(asked):
		return "", streams.Errorf(streams.CodeNotFound, "there is no directory %.200q there", asked)
	case err != nil:
		return "", streams.Errorf(streams.CodeRefused, "the worker's user has no access to the directory %.200q", asked)
	}
	return asked, nil
}

// find returns the path of a program.
func find(name string, env []string, dir string) (string, error) {
	if filepath.Base(name) != name {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if info, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			return "", streams.Errorf(streams.CodeNotFound, "there is no program %.200q there", name)
		}
		return name, nil
	}
	if runtime.GOOS == "windows" {
		if p, err := exec.LookPath(name); err == nil {
			return filepath.Abs(p)
		}
		return "", streams.Errorf(streams.CodeNotFound, "there is no program %.200q in the PATH there", name)
	}
	path := variable(env, "PATH")
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			continue
		}
		p := filepath.Join(d, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", streams.Errorf(streams.CodeNotFound, "there is no program %.200q there, in %.300s", name, path)
}

// StartError puts into words why a program that is there does not start: those of a *streams.Error, where
// the reason is known.
func StartError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return streams.Errorf(streams.CodeRefused, "%.200q may not be executed by the worker's user", name)
	case errors.Is(err, syscall.ENOEXEC):
		return streams.Errorf(streams.CodeRefused, "%.200q is no program for that machine; a script begins with #!", name)
	case errors.Is(err, fs.ErrNotExist):
		return streams.Errorf(streams.CodeNotFound, "%.200q, or what runs it, is not there", name)
	case errors.Is(err, syscall.E2BIG):
		return streams.Errorf(streams.CodeTooLarge, "the arguments and variables are more than that machine takes")
	case errors.Is(err, driver.ErrLimit):
		return streams.Errorf(streams.CodeRefused, "%v", err)
	}
	return err
}
