package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// Operation is one thing that a controller can ask of machines by its name: a message type of any
// family, with what it takes to ask for it and to serve it.
//
// A family declares its payloads and a [streams.Call], [streams.Feed] or [streams.Upload] in a file
// of its own. [FromCall], [FromFeed] or [FromUpload] makes the operation from that value and the
// handler:
//
//	func Uptime(start time.Time) ops.Operation {
//		return ops.FromCall(GetUptime, func(context.Context, streams.Peer, UptimeRequest) (Uptime, error) {
//			return Uptime{Seconds: time.Since(start).Seconds()}, nil
//		})
//	}
//
// A program lists its operations once. The side that serves registers them, and the side that asks
// finds them by name:
//
//	operations := append(ops.Of(service), beep.Operation(speaker), Uptime(start))
//	err := operations.Register(node.Mux)
//
//	op, err := operations.Find("get_uptime")
//	for reply, err := range op.Do(ctx, node.Client, machine, payload) { … }
//
// The side that asks calls no handler, so that there the values that a handler uses may be nil or
// zero.
type Operation struct {
	streams.Spec
	// Audited is set for a read that leaves an entry in the machine's audit log. A request with an
	// effect always does.
	Audited bool

	register func(*streams.Mux) error // nil: something else serves it
	input    streams.Type             // of what the asker sends during a bidi
	check    func(payload jsontext.Value) error
	limit    func(payload jsontext.Value) limit
	after    func(payload, item jsontext.Value) (jsontext.Value, error) // nil: it cannot go on
}

// Bounded is a request of a feed that limits its answer.
type Bounded interface {
	// Most returns how many entries the answer has at most. ends is false for an answer that goes
	// on until the requester cancels it; then nothing limits it.
	Most() (entries int, ends bool)
}

// GoesOn is a request of a feed whose answer can go on where an earlier one was cut.
type GoesOn[Req, Item any] interface {
	// After returns the request that goes on behind item.
	After(item Item) Req
}

// Entries is an item of a feed that has entries, to be counted against [Bounded].
type Entries interface{ Len() int }

// FromCall makes an operation of a call. A nil handler means that something else serves it.
func FromCall[Req, Res any](
	c streams.Call[Req, Res], handle func(context.Context, streams.Peer, Req) (Res, error),
) Operation {
	o := declare[Req](c.Spec())
	if handle != nil {
		o.register = func(m *streams.Mux) error { return c.Handle(m, handle) }
	}
	return o
}

// FromFeed makes an operation of a feed. A nil handler means that something else serves it.
func FromFeed[Req, Item any](
	f streams.Feed[Req, Item],
	handle func(ctx context.Context, p streams.Peer, req Req, send func(Item) error) (last Item, err error),
) Operation {
	o := declare[Req](f.Spec())
	if handle != nil {
		o.register = func(m *streams.Mux) error { return f.Handle(m, handle) }
	}
	if _, ok := any(*new(Req)).(GoesOn[Req, Item]); ok {
		o.after = after[Req, Item]
	}
	o.limit = func(payload jsontext.Value) limit {
		l := newLimit()
		if req, err := Decode[Req](payload); err == nil {
			l.bound(req)
		}
		l.count = countEntries[Item]
		return l
	}
	return o
}

// FromBidi makes an operation of a bidi, which is asked by [Operation.Talk]. A nil handler means that
// something else serves it.
func FromBidi[Req, In, Item any](
	b streams.Bidi[Req, In, Item],
	handle func(ctx context.Context, p streams.Peer, req Req, inputs <-chan In, send func(Item) error) (last Item, err error),
) Operation {
	o := declare[Req](b.Spec())
	o.input = b.Input
	if handle != nil {
		o.register = func(m *streams.Mux) error { return b.Handle(m, handle) }
	}
	return o
}

// after returns the payload of a request that goes on behind item.
func after[Req, Item any](payload, item jsontext.Value) (jsontext.Value, error) {
	req, err := Decode[Req](payload)
	if err != nil {
		return nil, err
	}
	var last Item
	if err := json.Unmarshal(item, &last); err != nil {
		return nil, fmt.Errorf("%w: %w", streams.ErrBadReply, err)
	}
	return Encode(any(req).(GoesOn[Req, Item]).After(last))
}

// FromUpload makes an operation of an upload. A nil handler means that something else serves it.
func FromUpload[Req streams.Sized, Res any](
	u streams.Upload[Req, Res],
	handle func(ctx context.Context, p streams.Peer, req Req, body io.Reader) (Res, error),
) Operation {
	o := declare[Req](u.Spec())
	if handle != nil {
		o.register = func(m *streams.Mux) error { return u.Handle(m, handle) }
	}
	return o
}

func declare[Req any](s streams.Spec) Operation {
	return Operation{Spec: s, check: func(payload jsontext.Value) error {
		req, err := Decode[Req](payload)
		if err == nil {
			_, err = Encode(req)
		}
		return err
	}}
}

// Name is what the operation is asked for by: its request's type.
func (o Operation) Name() string { return string(o.Request) }

// Register serves the operation on m. Nothing happens where something else serves it.
func (o Operation) Register(m *streams.Mux) error {
	if o.register == nil {
		return nil
	}
	return o.register(m)
}

// Check reports what is wrong with a payload: bytes that are not the request's JSON, a member that
// the request does not have, or a value that its Validate method refuses.
func (o Operation) Check(payload jsontext.Value) error { return o.check(payload) }

// Endless reports whether the answer to a payload goes on until the requester cancels it.
func (o Operation) Endless(payload jsontext.Value) bool {
	return o.Shape == streams.ShapeBidi || o.limit != nil && o.limit(payload).endless
}

// Resumable reports whether the answer to a payload goes on over the next connection when it is cut:
// it has no end of its own, and says where it stands.
func (o Operation) Resumable(payload jsontext.Value) bool {
	return o.after != nil && o.Endless(payload)
}

// After returns the payload that asks for what comes behind item, an item of the answer to payload.
func (o Operation) After(payload, item jsontext.Value) (jsontext.Value, error) {
	return o.after(payload, item)
}

// Do sends the payload to p and yields the reply, or the items of a feed as they arrive. An error
// is the last value. A machine that answers with more than was asked for is cut off with code 413.
// An upload needs a body, which its family sends, and a bidi is asked by [Operation.Talk]; here they
// fail with code 501.
func (o Operation) Do(
	ctx context.Context, cl *streams.Client, p peer.ID, payload jsontext.Value,
) iter.Seq2[jsontext.Value, error] {
	return func(yield func(jsontext.Value, error) bool) {
		switch o.Shape {
		case streams.ShapeCall:
			yield(o.Call(ctx, cl, p, payload))
		case streams.ShapeFeed:
			o.doFeed(ctx, cl, p, payload, yield)
		default:
			yield(nil, streams.Errorf(streams.CodeUnsupported, "%s is sent by its family", o.Request))
		}
	}
}

// Talk sends the payload of an operation that is a bidi to p, and yields the items of the answer as they
// arrive. An error is the last value. talk runs beside the iteration and sends inputs, as that of
// [streams.Bidi.Do].
func (o Operation) Talk(
	ctx context.Context, cl *streams.Client, p peer.ID, payload jsontext.Value,
	talk func(ctx context.Context, send func(input any) error) error,
) iter.Seq2[jsontext.Value, error] {
	raw := streams.Bidi[jsontext.Value, any, jsontext.Value]{
		Family: o.Family, Request: o.Request, Input: o.input, Reply: o.Reply, Verb: o.Verb,
	}
	return raw.Do(ctx, cl, p, orEmpty(payload), talk)
}

// Call sends the payload of an operation that is a call to p, and returns the reply.
func (o Operation) Call(
	ctx context.Context, cl *streams.Client, p peer.ID, payload jsontext.Value,
) (jsontext.Value, error) {
	raw := streams.Call[jsontext.Value, jsontext.Value]{Family: o.Family, Request: o.Request, Reply: o.Reply, Verb: o.Verb}
	return raw.Do(ctx, cl, p, orEmpty(payload))
}

func (o Operation) doFeed(
	ctx context.Context, cl *streams.Client, p peer.ID, payload jsontext.Value, yield func(jsontext.Value, error) bool,
) {
	raw := streams.Feed[jsontext.Value, jsontext.Value]{Family: o.Family, Request: o.Request, Reply: o.Reply, Verb: o.Verb}
	l := o.limit(payload)
	for item, err := range raw.Do(ctx, cl, p, orEmpty(payload)) {
		if err == nil {
			err = l.take(item)
		}
		if !yield(item, err) || err != nil {
			return
		}
	}
}

// Decode reads the payload of a request. Unlike a machine, which ignores members that it does not
// know, it refuses them: a person has misspelled them. No payload is an empty object.
func Decode[Req any](payload jsontext.Value) (req Req, err error) {
	if err := json.Unmarshal(orEmpty(payload), &req, json.RejectUnknownMembers(true)); err != nil {
		return req, explained(err)
	}
	return req, nil
}

// explained says where and why a payload could not be read, without the names of Go's types.
func explained(err error) error {
	if bad, ok := errors.AsType[*json.SemanticError](err); ok {
		syntax, isSyntax := errors.AsType[*jsontext.SyntacticError](bad.Err)
		switch {
		case errors.Is(err, json.ErrUnknownName):
			return fmt.Errorf("unknown member %q", bad.JSONPointer)
		case isSyntax:
			return fmt.Errorf("%q: %w", syntax.JSONPointer, syntax.Err)
		case bad.Err != nil:
			return fmt.Errorf("%q: %w", bad.JSONPointer, bad.Err)
		case bad.JSONPointer == "":
			return errors.New("want an object")
		default:
			return fmt.Errorf("%q: a JSON %s does not fit here", bad.JSONPointer, bad.JSONKind)
		}
	}
	if bad, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("byte %d: %w", bad.ByteOffset, bad.Err)
	}
	return err
}

func orEmpty(payload jsontext.Value) jsontext.Value {
	if len(payload) == 0 {
		return jsontext.Value("{}")
	}
	return payload
}

// Encode validates a request, as the machine will, and returns its payload.
func Encode[Req any](req Req) (jsontext.Value, error) {
	if v, ok := any(req).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(req)
	if err != nil {
		return nil, explained(err) // raw JSON in it
	}
	return b, nil
}

// Operations are what a program can ask for, or serves. Their names differ.
type Operations []Operation

// Register serves all of them on m.
func (o Operations) Register(m *streams.Mux) error {
	for _, op := range o {
		if err := op.Register(m); err != nil {
			return fmt.Errorf("register %s: %w", op.Request, err)
		}
	}
	return nil
}

// ErrUnknown comes when no operation has the name that was asked for.
var ErrUnknown = errors.New("unknown operation")

// Find returns the operation of this name. The error matches [ErrUnknown] and lists the names.
func (o Operations) Find(name string) (Operation, error) {
	if i := slices.IndexFunc(o, func(op Operation) bool { return op.Name() == name }); i >= 0 {
		return o[i], nil
	}
	return Operation{}, fmt.Errorf("%w %q: want one of %s", ErrUnknown, name, strings.Join(o.Names(), ", "))
}

// Names returns the names in alphabetical order.
func (o Operations) Names() []string {
	names := make([]string, len(o))
	for i, op := range o {
		names[i] = op.Name()
	}
	slices.Sort(names)
	return names
}

// Audits reports whether a request of this type leaves an entry in the audit log although it only
// reads.
func (o Operations) Audits(t streams.Type) bool {
	return slices.ContainsFunc(o, func(op Operation) bool { return op.Audited && op.Request == t })
}

const (
	// maxFeedBytes is what one machine may answer to one request that ends: more than any log
	// holds.
	maxFeedBytes = 64 << 20
	// maxItems is how many items of a feed there may be, also such as have no entries.
	maxItems = 16 << 10
)

// limit is what a machine may still answer to a request.
type limit struct {
	endless               bool // then it is passed on and not kept
	entries, bytes, items int
	count                 func(item jsontext.Value) int
}

func newLimit() limit { return limit{entries: math.MaxInt, bytes: maxFeedBytes, items: maxItems} }

func (l *limit) bound(req any) {
	if b, ok := req.(Bounded); ok {
		entries, ends := b.Most()
		l.entries, l.endless = entries, !ends
	}
}

// take counts one item. An error means that it is beyond the limit.
func (l *limit) take(item jsontext.Value) error {
	if l.endless {
		return nil
	}
	l.items--
	l.bytes -= len(item)
	if l.bytes < 0 || l.items < 0 {
		return streams.Errorf(streams.CodeTooLarge,
			"the machine answers with more than %d MiB, and was cut off: ask for less, or look what runs there", maxFeedBytes>>20)
	}
	if l.entries == math.MaxInt {
		return nil
	}
	if l.entries -= l.count(item); l.entries < 0 {
		return streams.Errorf(streams.CodeTooLarge,
			"the machine answers with more entries than were asked for, and was cut off: look what runs there")
	}
	return nil
}

// countEntries returns how many entries an item has; 0 if it cannot be decoded, which its reader
// will report.
func countEntries[Item any](raw jsontext.Value) int {
	var item Item
	if json.Unmarshal(raw, &item) != nil {
		return 0
	}
	if e, ok := any(item).(Entries); ok {
		return e.Len()
	}
	return 0
}
