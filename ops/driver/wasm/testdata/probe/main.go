// Command probe is a module for tests: it tries what its arguments say.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
)

func main() {
	switch os.Args[1] {
	case "show":
		env := os.Environ()
		slices.Sort(env)
		fmt.Println(os.Args[2:], env)
		fmt.Fprintln(os.Stderr, "to stderr")
		os.Exit(7)
	case "write":
		fail(os.WriteFile("/note.txt", []byte("from inside"), 0o644))
	case "alloc":
		n, _ := strconv.Atoi(os.Args[2])
		var all [][]byte
		for range n {
			all = append(all, make([]byte, 1<<20))
		}
		fmt.Println(len(all), "MiB")
	case "spin":
		fmt.Println("spins")
		for {
		}
	case "escape":
		escape(os.Args[2])
	}
}

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// escape tries to reach a file outside, and prints what got out.
func escape(outside string) {
	got := func(how string, err error) {
		if err == nil {
			fmt.Println("OUT BY", how)
		}
	}
	read := func(path string) error { _, err := os.ReadFile(path); return err }
	got("absolute path", read(outside))
	got("passwd", read("/etc/passwd"))
	up := "/../../../../../../../../../.."
	got("dots", read(up+outside))
	got("inner dots", read("/there"+up+outside))
	got("link that was there", read("/out"+outside))
	got("write by link", os.WriteFile("/out"+outside, []byte("x"), 0o600))
	got("new file by link", os.WriteFile("/out"+outside+".new", nil, 0o600))
	got("dangling link", os.WriteFile("/dangling", nil, 0o600))
	got("absolute link", os.Symlink("/", "/a"))
	got("link of dots", os.Symlink("../../..", "/b"))
	got("chmod by link", os.Chmod("/out"+outside, 0o777))
	got("rename out", os.Rename("/there/file", "/out"+outside+".moved"))
	got("rename in", os.Rename("/out"+outside, "/stolen"))
	got("hard link", os.Link("/out"+outside, "/hard"))
	got("unlink", os.Remove("/out"+outside))
	got("directory", os.Mkdir("/out"+outside+".dir", 0o700))
	_, err := os.Stat("/out" + outside)
	got("stat", err)
	_, err = os.ReadDir("/out/")
	got("list", err)
	got("run", exec.Command("/bin/true").Run())
	_, err = net.Dial("tcp", "127.0.0.1:22")
	got("network", err)
	fail(os.Symlink("there/file", "/fine"))
	fail(read("/fine"))
	fail(os.Rename("/there/file", "/there/moved"))
	fmt.Println("done")
}
