package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"

	"github.com/go-json-experiment/json"
)

// Commander does jobs: a [Controller] by itself, or a [Remote] through the
// long-lived controller of this machine.
type Commander interface {
	Exec(ctx context.Context, j Job, s Selection, emit func(Result)) (Summary, error)
	Watch(ctx context.Context, s Selection) (iter.Seq2[Pushed, error], error)
	Close() error
}

var (
	_ Commander = (*Controller)(nil)
	_ Commander = (*Remote)(nil)
)

// ErrServeEnded comes when the long-lived controller ends while it is listened to.
var ErrServeEnded = errors.New("the controller that serves here has ended; start it again: swarm controller serve")

// Remote does jobs through the socket of a long-lived controller.
type Remote struct{ http *http.Client }

// Dial returns the long-lived controller of a state directory, or false when
// none serves there.
func Dial(ctx context.Context, stateDir string) (*Remote, bool) {
	path := SocketPath(stateDir)
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false
	}
	conn.Close()
	return &Remote{dialSocket(path)}, true
}

// Close frees the connection.
func (r *Remote) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// post sends a request and returns its lines.
func (r *Remote) post(ctx context.Context, path string, v any) (iter.Seq2[socketLine, error], error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://controller"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the controller that serves here: %w", err)
	}
	return func(yield func(socketLine, error) bool) {
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(br, 4096))
			yield(socketLine{}, fmt.Errorf("the controller that serves here: %s", bytes.TrimSpace(text)))
			return
		}
		for {
			text, err := br.ReadBytes('\n')
			if len(text) == 0 && errors.Is(err, io.EOF) {
				return
			}
			var l socketLine
			if err == nil {
				err = json.Unmarshal(text, &l)
			} else if errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil {
				err = ErrServeEnded
			}
			if err == nil && l.Error != "" {
				err = l.failure()
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}, nil
}

func (l socketLine) failure() error {
	if l.Unknown {
		return &selectionError{l.Error}
	}
	return errors.New(l.Error)
}

// selectionError is an ErrSelection in the words of the other end.
type selectionError struct{ words string }

func (e *selectionError) Error() string { return e.words }
func (e *selectionError) Unwrap() error { return ErrSelection }

// Exec does the job as [Controller.Exec] does.
func (r *Remote) Exec(ctx context.Context, j Job, s Selection, emit func(Result)) (sum Summary, err error) {
	req := execRequest{
		Operation: string(j.Operation.Request), Payload: j.Payload, TimeoutMs: j.Timeout.Milliseconds(), Selection: lineOfSelection(s),
	}
	if j.Bundle != nil {
		req.Bundle, req.BundleName = j.Bundle.Source(), j.Bundle.Manifest.Name
	}
	answer, err := r.post(ctx, "/v1/exec", req)
	if err != nil {
		return sum, err
	}
	for l, err := range answer {
		switch {
		case err != nil:
			return sum, err
		case l.Summary != nil:
			return *l.Summary, nil
		case l.Progress != nil && j.Progress != nil:
			j.Progress(l.Progress.Target.target(), l.Progress.Sent, l.Progress.Total)
		case l.Result != nil:
			emit(l.Result.result())
		}
	}
	if err := ctx.Err(); err != nil {
		return sum, err
	}
	return sum, errors.New("the controller that serves here went away in the middle")
}

func (l *socketResult) result() Result {
	res := Result{Target: l.Target.target(), Type: l.Type, Payload: l.Payload, Done: l.Done, Feed: l.Feed}
	if l.Error != nil {
		res.Err = l.Error
	}
	return res
}

// Watch listens as [Controller.Watch] does.
func (r *Remote) Watch(ctx context.Context, s Selection) (iter.Seq2[Pushed, error], error) {
	answer, err := r.post(ctx, "/v1/watch", lineOfSelection(s))
	if err != nil {
		return nil, err
	}
	return func(yield func(Pushed, error) bool) {
		for l, err := range answer {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(Pushed{}, err)
				return
			}
			if p := l.Pushed; p != nil && !yield(Pushed{p.Target.target(), p.Timestamp, p.Stats}, nil) {
				return
			}
		}
		if ctx.Err() == nil {
			yield(Pushed{}, ErrServeEnded)
		}
	}, nil
}

// Deliver takes news to the members as [Controller.Deliver] does.
func (r *Remote) Deliver(ctx context.Context, n News, emit func(Delivery)) error {
	answer, err := r.post(ctx, "/v1/deliver", n)
	if err != nil {
		return err
	}
	for l, err := range answer {
		if err != nil {
			return err
		}
		if d := l.Delivery; d != nil {
			del := Delivery{Target: d.Target.target()}
			if d.Error != nil {
				del.Err = d.Error
			}
			emit(del)
		}
	}
	return ctx.Err()
}

// Addrs returns where the long-lived controller listens, each with its peer ID.
func (r *Remote) Addrs(ctx context.Context) ([]string, error) {
	answer, err := r.post(ctx, "/v1/addrs", struct{}{})
	if err != nil {
		return nil, err
	}
	for l, err := range answer {
		if err != nil {
			return nil, err
		}
		return l.Addrs, nil
	}
	return nil, errors.New("the controller that serves here does not say where it listens")
}
