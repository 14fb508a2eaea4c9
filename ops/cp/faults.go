package cp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/streams"
)

// explained puts an error of the files of a machine in words that may travel.
func explained(err error) *streams.Error {
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e
	}
	name := ""
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		name = e.Path + ": "
	}
	var link *os.LinkError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return streams.Errorf(streams.CodeUnavailable, "it was ended: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return streams.Errorf(streams.CodeNotFound, "%sno such file or directory", name)
	case errors.Is(err, fs.ErrPermission):
		return streams.Errorf(streams.CodeRefused, "%spermission denied to the user that swarm runs as", name)
	case isFull(err):
		return streams.Errorf(streams.CodeRefused, "the disk is full: make room, and copy again")
	case durable.IsReadOnly(err):
		return streams.Errorf(streams.CodeRefused, "%sit cannot be written to; under systemd the owner allows it with: systemctl edit swarm-worker, and ReadWritePaths=", name)
	case errors.Is(err, durable.ErrUnsafe):
		return streams.Errorf(streams.CodeConflict, "%v", err)
	case strings.Contains(err.Error(), "path escapes from parent"):
		return streams.Errorf(streams.CodeRefused, "%sa symbolic link leads out of the directories that the owner allows", name)
	case errors.As(err, &link):
		return streams.Errorf(streams.CodeConflict, "%s: %v", link.New, link.Err)
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return streams.Errorf(streams.CodeConflict, "%s%v", name, e.Err)
	}
	return streams.Errorf(streams.CodeInternal, "%v", err)
}

// changedError says that a file is another one than it was, and what it is now.
type changedError struct{ now Entry }

func (e *changedError) Error() string {
	return "it has changed since it was looked at: it is written to all the time; copy it on its machine first, and then that copy"
}

// Unwrap makes it one that travels.
func (e *changedError) Unwrap() error { return streams.Errorf(streams.CodeConflict, "%s", e.Error()) }

// noRoom reports whether no further file can be put there either.
func noRoom(err error) bool {
	_, ok := errors.AsType[*noRoomError](err)
	return ok || isFull(err) || durable.IsReadOnly(err)
}
