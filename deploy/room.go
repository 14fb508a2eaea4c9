package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/shirou/gopsutil/v4/disk"

	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// EntryBytes is what each file and directory counts beside the bytes in it: about
	// what its inode and its name take.
	EntryBytes = 4 << 10

	// spareBytes and spareInodes must stay free beside a bundle, so that a deployment
	// never fills the disk of a machine that works: without inodes no audit entry is
	// written, and without that no command is done.
	spareBytes  = 64 << 20
	spareInodes = 1024

	maxNames          = 256 // deployments on one machine
	maxUploads        = 16  // under way
	maxUploadsPerPeer = 4
)

// free is what a file system has left. A file system that has no fixed number of inodes has none in
// all.
type free struct{ bytes, inodes, allInodes uint64 }

func freeOn(dir string) (free, error) {
	u, err := disk.Usage(dir)
	if err != nil {
		return free{}, fmt.Errorf("look for free space: %w", err)
	}
	return free{u.Free, u.InodesFree, u.InodesTotal}, nil
}

// size is a number of bytes for a person, in MiB.
func size(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// room is what deployments that are under way may still write. Free space is
// looked at and reserved in one step, so that uploads that begin at once do not
// each take the same space for theirs.
type room struct {
	mu      sync.Mutex // guards what follows
	bytes   int64
	entries int64
	whole   int64 // bytes, also those that were written
}

// underWay returns what all deployments that are under way will take in the end.
func (r *room) underWay() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

// reserve takes the room for a bundle, so many bytes of which are on the disk by now, or says what is
// missing. What it returns gives up the rest of it.
func (r *room) reserve(m Manifest, staged int64, look func() (free, error)) (*reservation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := look()
	if err != nil {
		return nil, err
	}
	bytes, entries := m.Room()-staged, int64(m.Entries())
	if need := uint64(r.bytes) + uint64(bytes) + spareBytes; now.bytes < need {
		return nil, streams.Errorf(streams.CodeRefused,
			"not enough room: %s are free on this machine, and %s are needed, with what is under way and a reserve of %s: "+
				"make room there", size(now.bytes), size(need), size(spareBytes))
	}
	if need := uint64(r.entries) + uint64(entries) + spareInodes; now.allInodes > 0 && now.inodes < need {
		return nil, streams.Errorf(streams.CodeRefused,
			"not enough room: %d inodes are free on this machine, and %d are needed, with what is under way: remove files there",
			now.inodes, need)
	}
	r.bytes += bytes
	r.entries += entries
	r.whole += m.Room()
	return &reservation{r, bytes, entries, m.Room()}, nil
}

// reservation is what one deployment may still write.
type reservation struct {
	room    *room
	bytes   int64
	entries int64
	whole   int64 // bytes, also those that were written
}

// Write counts bytes that were written: the file system knows of them by now.
func (r *reservation) Write(b []byte) (int, error) {
	r.give(int64(len(b)), 0, 0)
	return len(b), nil
}

// end gives up what is left.
func (r *reservation) end() { r.give(r.bytes, r.entries, r.whole) }

func (r *reservation) give(bytes, entries, whole int64) {
	r.room.mu.Lock()
	defer r.room.mu.Unlock()
	r.bytes -= bytes
	r.entries -= entries
	r.room.bytes -= bytes
	r.room.entries -= entries
	r.whole -= whole
	r.room.whole -= whole
}

// used is what all deployments in a directory take, with their old releases. What is
// under way, in a directory of its own, is not among it.
func used(ctx context.Context, dir string, underWay func(name string) bool) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		name := filepath.Dir(path)
		if e.IsDir() && strings.HasPrefix(e.Name(), stagingPrefix) && filepath.Dir(name) == filepath.Clean(dir) &&
			underWay(filepath.Base(name)) {
			return fs.SkipDir
		}
		bytes += EntryBytes
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return ctx.Err()
	})
	return bytes, err
}

// pace ends an upload that is slower than LeastRate.
type pace struct {
	began time.Time
	bytes int64
}

const paceGrace = 30 * time.Second

// add counts bytes, and reports an error when there should have been more.
func (p *pace) add(n int) error {
	p.bytes += int64(n)
	late := time.Since(p.began) - paceGrace
	if late > 0 && float64(p.bytes) < late.Seconds()*LeastRate {
		return streams.Errorf(streams.CodeTimeout, "the upload is slower than %d bytes a second: %d arrived in %v",
			LeastRate, p.bytes, time.Since(p.began).Round(time.Second))
	}
	return nil
}

// uploads counts the deployments that are under way, by who has asked for them.
type uploads struct {
	mu    sync.Mutex // guards what follows
	all   int
	peers map[peer.ID]int
}

// begin counts one more, and says why there may not be.
func (u *uploads) begin(p peer.ID) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.peers[p] >= maxUploadsPerPeer:
		return streams.Errorf(streams.CodeTooMany,
			"%d deployments of yours are under way on this machine: wait for one to end", maxUploadsPerPeer)
	case u.all >= maxUploads:
		return streams.Errorf(streams.CodeTooMany, "%d deployments are under way on this machine: wait for one to end",
			maxUploads)
	}
	if u.peers == nil {
		u.peers = make(map[peer.ID]int)
	}
	u.all++
	u.peers[p]++
	return nil
}

func (u *uploads) end(p peer.ID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all--
	if u.peers[p]--; u.peers[p] == 0 {
		delete(u.peers, p)
	}
}
