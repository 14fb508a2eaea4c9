package control

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
)

// endpoint is one verb of the socket. The request is a POST of one JSON value; the answer has one
// JSON object a line, and empty lines where the asker wants to hear that the other end is still
// there. Both ends are of one program, or of two versions of it: names are only added.
type endpoint[Req, Line any] struct {
	path string
	// member is what a line's object calls its value; empty when Line is the object itself.
	member string
}

// failure is the last line of an answer, in place of others.
type failure struct {
	Error   string `json:"error,omitzero"`
	Unknown bool   `json:"unknown,omitzero"` // the selection means no machine
}

const maxRequest = 2 * streams.MaxFrame

// beatHeader asks for empty lines, and says in the answer that they come.
const beatHeader = "Swarm-Beat"

// serve answers the verb on mux. do calls emit for each line, also from several goroutines; an
// error of emit means that the command has gone, which ends ctx, too.
func (e endpoint[Req, Line]) serve(
	mux *http.ServeMux, do func(ctx context.Context, req Req, emit func(Line) error) error,
) {
	mux.HandleFunc("POST "+e.path, func(w http.ResponseWriter, r *http.Request) {
		var req Req
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil {
			err = json.Unmarshal(b, &req, decoding())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		out := &lineWriter{w: w}
		beats := r.Header.Get(beatHeader) != ""
		if beats {
			w.Header().Set(beatHeader, beatEvery.String())
		}
		if out.flush() != nil { // the answer begins before there is anything to say
			return
		}
		if beats {
			var beating sync.WaitGroup
			defer beating.Wait() // nobody may write when this function has returned
			defer cancel()
			beating.Go(func() { out.beat(ctx) })
		}
		err = do(ctx, req, func(l Line) error {
			if ctx.Err() != nil { // what fails now fails because of that
				return ctx.Err()
			}
			err := out.write(e.object(l))
			if err != nil {
				cancel()
			}
			return err
		})
		if ctx.Err() != nil {
			panic(http.ErrAbortHandler) // an answer that is not complete does not end as if it were
		}
		if err != nil {
			out.write(failure{err.Error(), errors.Is(err, agent.ErrSelection)})
		}
	})
}

func (e endpoint[Req, Line]) object(l Line) any {
	if e.member == "" {
		return l
	}
	return map[string]Line{e.member: l}
}

// ask does the verb at the other end, and yields its lines. An error is the last value;
// [ErrServeEnded], [ErrOlder] and an [*Unresponsive] are some.
func (e endpoint[Req, Line]) ask(ctx context.Context, r *Remote, req Req) (iter.Seq2[Line, error], error) {
	body, err := json.Marshal(req, encoding())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://controller"+e.path, bytes.NewReader(body))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	hr.Header.Set(beatHeader, "1")
	silence := time.AfterFunc(silentFor, func() { cancel(r.unresponsive) })
	resp, err := r.http.Do(hr)
	silence.Stop()
	if err != nil {
		err = cmp.Or(silent(ctx), fmt.Errorf("ask the controller that serves here: %w", err))
		cancel(nil)
		return nil, err
	}
	beats := resp.Header.Get(beatHeader) != ""
	return func(yield func(Line, error) bool) {
		defer cancel(nil)
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		var none Line
		if resp.StatusCode == http.StatusNotFound {
			yield(none, ErrOlder)
			return
		}
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(io.LimitReader(br, 4096))
			yield(none, fmt.Errorf("the controller that serves here: %s", bytes.TrimSpace(text)))
			return
		}
		for {
			if beats {
				silence.Reset(silentFor)
			}
			text, err := br.ReadBytes('\n')
			silence.Stop() // what the caller does with a line may take its time
			if len(text) == 0 && errors.Is(err, io.EOF) {
				return
			}
			if err == nil && len(bytes.TrimSpace(text)) == 0 {
				continue
			}
			var l Line
			if err == nil {
				l, err = e.parse(text)
			} else if quiet := silent(ctx); quiet != nil {
				err = quiet
			} else if ctx.Err() == nil {
				err = ErrServeEnded
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}, nil
}

// silent returns why ctx has ended, if that is an [*Unresponsive].
func silent(ctx context.Context) error {
	if u, ok := errors.AsType[*Unresponsive](context.Cause(ctx)); ok {
		return u
	}
	return nil
}

// one asks for an answer of one line.
func (e endpoint[Req, Line]) one(ctx context.Context, r *Remote, req Req) (line Line, err error) {
	lines, err := e.ask(ctx, r, req)
	if err != nil {
		return line, err
	}
	for l, err := range lines {
		return l, err
	}
	return line, errors.Join(ctx.Err(), fmt.Errorf("the controller that serves here does not answer %s", e.path))
}

// parse reads one line.
func (e endpoint[Req, Line]) parse(text []byte) (l Line, err error) {
	if bytes.HasPrefix(text, []byte(`{"error":`)) {
		var fault failure
		if err := json.Unmarshal(text, &fault); err != nil {
			return l, err
		}
		if fault.Unknown {
			return l, &selectionError{fault.Error}
		}
		return l, errors.New(fault.Error)
	}
	if e.member != "" {
		var object map[string]jsontext.Value
		if err := json.Unmarshal(text, &object); err != nil {
			return l, err
		}
		text = object[e.member]
	}
	err = json.Unmarshal(text, &l, decoding())
	return l, err
}

// selectionError is an ErrSelection in the words of the other end.
type selectionError struct{ words string }

func (e *selectionError) Error() string { return e.words }
func (e *selectionError) Unwrap() error { return agent.ErrSelection }

// lineWriter writes one JSON object a line, each at once.
type lineWriter struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func (l *lineWriter) write(v any) error {
	b, err := json.Marshal(v, encoding())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

// beat writes an empty line now and then, until ctx ends.
func (l *lineWriter) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		_, err := io.WriteString(l.w, "\n")
		if err == nil {
			err = http.NewResponseController(l.w).Flush()
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (l *lineWriter) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return http.NewResponseController(l.w).Flush()
}

// travelling is a streams.Error without its methods, so that it is no error for encoding.
type travelling streams.Error

// encoding writes errors in the form that travels between peers, with the code that the summary
// counts them by, and durations in milliseconds.
func encoding() json.Options {
	return json.WithMarshalers(json.JoinMarshalers(
		json.MarshalToFunc(func(enc *jsontext.Encoder, err error) error {
			e, ok := errors.AsType[*streams.Error](err)
			if !ok {
				e = streams.Errorf(streams.CodeOf(err), "%s", err.Error())
			}
			return json.MarshalEncode(enc, (*travelling)(e))
		}),
		json.MarshalToFunc(func(enc *jsontext.Encoder, d time.Duration) error {
			return enc.WriteToken(jsontext.Int(d.Milliseconds()))
		}),
	))
}

// decoding reads what encoding wrote.
func decoding() json.Options {
	return json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(func(dec *jsontext.Decoder, err *error) error {
			var e travelling
			if fault := json.UnmarshalDecode(dec, &e); fault != nil {
				return fault
			}
			*err = (*streams.Error)(&e)
			return nil
		}),
		json.UnmarshalFromFunc(func(dec *jsontext.Decoder, d *time.Duration) error {
			var ms int64
			err := json.UnmarshalDecode(dec, &ms)
			*d = time.Duration(ms) * time.Millisecond
			return err
		}),
	))
}
