package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/clock"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
)

// Reasons why there is no answer from a long-lived controller, beside [*Unresponsive].
var (
	// ErrNobody means that no controller serves with the state directory.
	ErrNobody = errors.New("no controller serves on this machine")
	// ErrServeEnded means that the controller has ended while it was listened to.
	ErrServeEnded = errors.New("the controller that serves here has ended")
	// ErrOlder means that the controller is of an older program, which does not know the verb.
	ErrOlder = errors.New("the controller that serves here is an older program")
)

// Unresponsive says that a controller serves and does not answer: its process is stopped, or waits
// for something, as a disk.
type Unresponsive struct {
	PID   int       // 0 where the system does not tell
	Since time.Time // of the socket; zero where that is not known
}

func (u *Unresponsive) Error() string {
	who := ""
	if u.PID > 0 {
		who = fmt.Sprintf("pid %d", u.PID)
	}
	if !u.Since.IsZero() {
		if who != "" {
			who += ", "
		}
		who += "since " + clock.Text(u.Since)
	}
	if who != "" {
		who = " (" + who + ")"
	}
	return "the controller that serves here" + who + " does not answer"
}

const (
	// GreetWithin is how long a controller has to say that it is there. One that works does so in a
	// millisecond.
	GreetWithin = 2 * time.Second
	// silentFor is after how much silence in the middle of an answer the controller does not answer
	// any more; beatEvery is how often it lets hear from itself.
	silentFor = 4 * time.Second
	beatEvery = 500 * time.Millisecond
)

// Remote is the long-lived controller of this machine, asked through its socket.
type Remote struct {
	http *http.Client
	path string // of the socket
	// unresponsive is the error for when it does not answer.
	unresponsive *Unresponsive
	// patience is for how long it waits for another controller when this one has ended.
	patience time.Duration
}

// Dial returns the long-lived controller of a state directory that has said that it is there. The
// error matches [ErrNobody] when none serves there, and is an [*Unresponsive] when one does and has
// not answered within so long.
func Dial(ctx context.Context, stateDir string, within time.Duration) (*Remote, error) {
	return dial(ctx, SocketPath(stateDir), within)
}

func dial(ctx context.Context, path string, within time.Duration) (*Remote, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	silent := new(Unresponsive)
	if info, err := os.Stat(path); err == nil {
		silent.Since = info.ModTime()
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		silent.PID = peerPID(conn)
		conn.Close()
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, context.DeadlineExceeded): // too many wait already
		return nil, silent
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w for this user: %w", ErrNobody, err)
	default:
		return nil, ErrNobody
	}
	r := &Remote{dialSocket(path), path, silent, comesBackWithin}
	// A line is an answer, and so is the word of an older program that it knows no greeting.
	lines, err := helloVerb.ask(ctx, r, struct{}{})
	if err == nil {
		for range lines {
			break
		}
		return r, nil
	}
	r.Close()
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, silent
	}
	return nil, errors.Join(context.Cause(ctx), fmt.Errorf("%w: %w", ErrNobody, err))
}

// Close frees the connection.
func (r *Remote) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// Deliver is that of [Commander].
func (r *Remote) Deliver(ctx context.Context, n agent.News, emit func(agent.Delivery)) error {
	lines, err := deliverVerb.ask(ctx, r, n)
	if err != nil {
		return err
	}
	for d, err := range lines {
		if err != nil {
			return err
		}
		emit(d)
	}
	return ctx.Err()
}

// Peers is that of [Commander].
func (r *Remote) Peers(ctx context.Context, try time.Duration) (out []agent.PeerLine, err error) {
	lines, err := peersVerb.ask(ctx, r, peersRequest{try})
	if err != nil {
		return nil, err
	}
	for l, err := range lines {
		if err != nil {
			return out, err
		}
		out = append(out, l)
	}
	return out, ctx.Err()
}

// Examine has the controller look into how it stands with a machine, or with its own where there is
// no name, see [diagnose.Examine].
func (r *Remote) Examine(ctx context.Context, name string, timeout time.Duration) (diagnose.Diagnosis, error) {
	return examineVerb.one(ctx, r, examineRequest{name, timeout})
}

// Self is that of [Commander].
func (r *Remote) Self(ctx context.Context) (agent.Self, error) {
	return selfVerb.one(ctx, r, struct{}{})
}

// Addrs is that of [Commander].
func (r *Remote) Addrs(ctx context.Context) ([]string, error) {
	return addrsVerb.one(ctx, r, struct{}{})
}
