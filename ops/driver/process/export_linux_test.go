package process

// MayGroup reports whether a cgroup can be made here.
func MayGroup() bool {
	var g cgroup
	g.make("/a test")
	return g.remove()
}
