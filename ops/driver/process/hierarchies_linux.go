package process

import (
	"path/filepath"
	"slices"
	"strings"
)

// ownGroups are the directories of the cgroups that this process is in.
type ownGroups struct {
	unified string            // of version 2; empty where there is none
	old     map[string]string // of version 1, by controller
}

// all are the directories in which ours may be.
func (o ownGroups) all() (dirs []string) {
	if o.unified != "" {
		dirs = append(dirs, o.unified)
	}
	for _, controller := range controllers {
		if dir := o.old[controller]; dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// hierarchies finds the cgroups of this process. In that of version 2 the agent may have made room for
// others, and is below it then.
func hierarchies() ownGroups {
	return ownGroupsOf(kernelSays("/proc/self/cgroup"), kernelSays("/proc/self/mountinfo"))
}

// ownGroupsOf reads the two files of those names.
func ownGroupsOf(cgroups, mounts string) ownGroups {
	own := ownGroups{old: make(map[string]string)}
	mounted := parseMounts(mounts)
	for line := range strings.Lines(cgroups) { // number:controllers:path
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		if fields[1] == "" {
			own.unified = mounted.dir("", fields[2])
			if filepath.Base(own.unified) == agentGroup {
				own.unified = filepath.Dir(own.unified)
			}
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			if dir := mounted.dir(controller, fields[2]); dir != "" {
				own.old[controller] = dir
			}
		}
	}
	return own
}

// mount is where a part of a hierarchy of cgroups can be seen.
type mount struct{ root, point string }

// mountsBy are mounts by controller; version 2 has the empty one.
type mountsBy map[string]mount

// parseMounts reads /proc/self/mountinfo: "id parent device root point options … - type source options".
func parseMounts(text string) mountsBy {
	all := make(mountsBy)
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		m := mount{fields[3], fields[4]}
		switch kind[0] {
		case "cgroup2":
			all[""] = m
		case "cgroup":
			for option := range strings.SplitSeq(kind[2], ",") {
				if slices.Contains(controllers, option) {
					all[option] = m
				}
			}
		}
	}
	return all
}

// dir returns the directory of a cgroup; empty where it cannot be seen.
func (m mountsBy) dir(controller, path string) string {
	at, ok := m[controller]
	if !ok {
		return ""
	}
	below, err := filepath.Rel(at.root, path)
	if err != nil || below == ".." || strings.HasPrefix(below, "../") {
		return "" // it is beside what can be seen here
	}
	return filepath.Join(at.point, below)
}
