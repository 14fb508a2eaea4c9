package streams

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/mod/semver"
)

// Prefix starts every stream protocol ID and topic name of swarm.
const Prefix = "/swarm/"

// Type names a message, such as "get_stats". It is what the envelope's "type" holds: 1 to 64 of
// [a-z0-9_].
type Type string

// MaxTypeLength is the longest type, in characters.
const MaxTypeLength = 64

func (t Type) valid() bool {
	if len(t) == 0 || len(t) > MaxTypeLength {
		return false
	}
	for _, c := range []byte(t) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Verb names a right, in the words of the application. [Config.Authorize] decides who has it. A
// verb that ends in ".read" changes nothing at the peer, and neither does [VerbPublic]; every other
// one has an effect.
type Verb string

// VerbPublic is open to everyone who can connect, within the limits for strangers.
// [Config.Authorize] is never asked about it.
const VerbPublic Verb = "public"

// HasEffect reports whether a request with this verb changes something at the peer. Such requests
// are rated, and executed once for each message ID.
func (v Verb) HasEffect() bool {
	return v != VerbPublic && !strings.HasSuffix(string(v), ".read")
}

// Family is a group of message types that share a stream protocol ID.
type Family struct {
	// Name is 1 to 64 of [a-z0-9_-].
	Name string
	// Versions are the semantic versions this side speaks, the preferred one first. A listener
	// accepts every minor version of a major one it lists; a caller proposes the highest version
	// whose major one both speak.
	Versions []string
	// Greeting is the request with which a dialler begins a connection; empty in most families. The
	// requests of a family that greets do not wait for [Config.Ready], are rated apart from all
	// others, and the greeting's timestamp tells how far the peer's clock is off.
	Greeting Type
}

// ProtocolID returns the ID of the preferred version, such as "/swarm/ops/1.0.0".
func (f Family) ProtocolID() protocol.ID { return f.protocolID(f.Versions[0]) }

func (f Family) protocolID(version string) protocol.ID {
	return protocol.ID(Prefix + f.Name + "/" + version)
}

// ProtocolIDs returns the IDs of all versions, in the order of preference.
func (f Family) ProtocolIDs() []protocol.ID {
	ids := make([]protocol.ID, len(f.Versions))
	for i, v := range f.Versions {
		ids[i] = f.protocolID(v)
	}
	return ids
}

// version returns the version in a protocol ID of this family, and false when the ID is not of this
// family.
func (f Family) version(id protocol.ID) (string, bool) {
	v, ok := strings.CutPrefix(string(id), Prefix+f.Name+"/")
	return v, ok && validVersion(v)
}

// validVersion reports whether v is a semantic version with all of its three numbers.
func validVersion(v string) bool {
	v = "v" + v
	return semver.IsValid(v) && semver.Canonical(v)+semver.Build(v) == v
}

// compatible reports whether version v of a peer can be spoken with ours: the major versions are
// the same.
func compatible(ours, theirs string) bool {
	return semver.Major("v"+ours) == semver.Major("v"+theirs)
}

// proposals returns the IDs of all versions, the highest first.
func (f Family) proposals() []protocol.ID {
	if len(f.Versions) > 1 {
		f.Versions = slices.SortedStableFunc(
			slices.Values(f.Versions), func(a, b string) int { return semver.Compare("v"+b, "v"+a) })
	}
	return f.ProtocolIDs()
}

// matches reports whether ours and theirs are IDs of this family that can be spoken with one
// another.
func (f Family) matches(ours, theirs protocol.ID) bool {
	a, ok := f.version(ours)
	b, too := f.version(theirs)
	return ok && too && compatible(a, b)
}

var familyName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

func (f Family) validate() error {
	if !familyName.MatchString(f.Name) {
		return fmt.Errorf("family name %q: want 1 to 64 of [a-z0-9_-]", f.Name)
	}
	if len(f.Versions) == 0 {
		return fmt.Errorf("family %s: no version", f.Name)
	}
	if f.Greeting != "" && !f.Greeting.valid() {
		return fmt.Errorf("family %s: greeting %q: want 1 to 64 of [a-z0-9_]", f.Name, f.Greeting)
	}
	for _, v := range f.Versions {
		if !validVersion(v) {
			return fmt.Errorf("family %s: %q is not a semantic version", f.Name, v)
		}
	}
	return nil
}

// Shape says how the messages of a type follow one another.
type Shape string

// The shapes of an exchange.
const (
	ShapeCall   Shape = "call"   // one request, one reply
	ShapeFeed   Shape = "feed"   // one request, many items
	ShapeUpload Shape = "upload" // one request and raw bytes, one reply
	ShapeNotice Shape = "notice" // one message, no reply
	ShapeDuplex Shape = "duplex" // one request, one reply, then raw bytes both ways
	ShapeBidi   Shape = "bidi"   // one request, then inputs one way and many items the other
)

// Spec is what a [Call], [Feed], [Bidi], [Upload], [Notice], [Duplex] or [DuplexFor] declares, without its payload types.
type Spec struct {
	Family  Family
	Shape   Shape
	Request Type
	Reply   Type // empty for a notice
	Verb    Verb
}

func (s Spec) validate() error {
	if err := s.Family.validate(); err != nil {
		return err
	}
	if !s.Request.valid() {
		return fmt.Errorf("family %s: type %q: want 1 to 64 of [a-z0-9_]", s.Family.Name, s.Request)
	}
	if s.Shape != ShapeNotice && !s.Reply.valid() {
		return fmt.Errorf("type %s: reply type %q: want 1 to 64 of [a-z0-9_]", s.Request, s.Reply)
	}
	if s.Verb == "" {
		return fmt.Errorf("type %s: no verb: every type names the right it needs (VerbPublic for none)", s.Request)
	}
	return nil
}
