package trust

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds on the texts of a grant.
const (
	maxName       = 63 // of a machine or a fleet, as in DNS
	maxGlob       = 128
	maxGrantBytes = 6 << 10
)

func grantKind() kind { return kind{"swarm-grant", "/swarm/grant/2", maxGrantBytes} }

const (
	// maxNumber bounds the number of a grant: a JSON number that every client reads exactly.
	maxNumber = 1<<53 - 1
	// maxDelegated bounds the numbers of all signers but the root, which can so always go beyond.
	maxDelegated = 1 << 40
	maxDespite   = 64 // revocations in spite of which a signer stands
)

// Grant is what the root or an issuer gives to one member. It is data: a [Fleet] judges whether it
// counts. Times are in Unix milliseconds.
type Grant struct {
	Fleet FleetID `json:"fleet"`
	// By is the signer: the root, or an issuer.
	By peer.ID `json:"by"`
	// Line is the decision that the grant carries out, and N its number: of several grants of a
	// peer the one with the highest number counts. Dates do not decide.
	Line    Line    `json:"line"`
	N       int64   `json:"n"`
	Subject peer.ID `json:"subject"`
	Role    Role    `json:"role"`
	// Verbs are the rights; the role alone gives none.
	Verbs []string `json:"verbs,omitempty"`
	// On is a [Selector] for the machines where the verbs hold; empty means all.
	On string `json:"on,omitempty"`
	// Also are further rights, such as one for a day.
	Also   []Right           `json:"also,omitempty"`
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// Issued is when it was signed by the signer's clock. Nothing is judged by it.
	Issued  int64 `json:"issued"`
	Expires int64 `json:"expires"`
	// NoRenew keeps machines from renewing the grant by themselves: it was given for a time.
	NoRenew bool `json:"noRenew,omitempty"`
	// MayIssue lets an issuer sign for others; nil for everybody else.
	MayIssue *Bounds `json:"mayIssue,omitempty"`
	// Paper is the serial of the issuer's own line at the time of signing; empty for the root.
	Paper string `json:"paper,omitempty"`
	// Accept is the subject's signature over the line: it asked Line.By to let it in.
	Accept []byte `json:"accept,omitempty"`
	// Sponsor is the member whose ticket brought the subject in. The subject's rights count while
	// the sponsor holds them too.
	Sponsor peer.ID `json:"sponsor,omitempty"`
	// Despite are revocations by the root that do not end this new grant of an issuer.
	Despite []ID `json:"despite,omitempty"`
	// Origins are the issuers on whose word machines have signed the grant by themselves: each that
	// signs adds the signer before it, and removes none. When one of them has ended, the member is
	// unconfirmed until a person has looked.
	Origins []Origin `json:"origins,omitempty"`

	accepted bool // set by checkGrant: Accept is there and good
}

// Origin is an issuer with the serial of its line at the time of signing: an issuer with a new line
// does not confirm what it signed under the old one.
type Origin struct {
	By    peer.ID `json:"by"`
	Paper string  `json:"paper"`
}

// maxOrigins is the number of issuers on whose word a grant may stand.
const maxOrigins = 8

func validateOrigins(list []Origin) error {
	if len(list) > maxOrigins {
		return fmt.Errorf("%d origins are more than %d", len(list), maxOrigins)
	}
	for _, o := range list {
		if err := o.By.Validate(); err != nil {
			return fmt.Errorf("origin: %w", err)
		}
		if err := validateSerial(o.Paper); err != nil {
			return fmt.Errorf("origin: %w", err)
		}
	}
	return nil
}

// Right is some verbs, on some machines, for a time.
type Right struct {
	Verbs []string `json:"verbs"`
	// On is a [Selector]; empty means all machines.
	On string `json:"on,omitempty"`
	// Expires is its end in Unix milliseconds; 0 means with the grant.
	Expires int64 `json:"expires,omitempty"`
}

// maxAlso is the number of further rights that a grant may hold.
const maxAlso = 8

// Bounds say what an issuer may give. The zero value lets it give nothing.
type Bounds struct {
	// ForAll lets an issuer sign and revoke for everybody but issuers. Without it an issuer signs
	// only for members that asked it, and revokes only in lines that it began.
	ForAll bool `json:"forAll,omitempty"`
	// Roles it may give, never issuer.
	Roles []Role `json:"roles,omitempty"`
	// Verbs it may give: at most those it has itself.
	Verbs []string `json:"verbs,omitempty"`
	// Names is a pattern as of path.Match for the names it may give; empty means any.
	Names string `json:"names,omitempty"`
	// Labels must all be in each grant that it signs.
	Labels map[string]string `json:"labels,omitempty"`
}

// warnBefore is how long before its end a grant gives a warning.
const warnBefore = 30 * day

// ExpiresAt returns the end as a time.
func (g *Grant) ExpiresAt() time.Time { return time.UnixMilli(g.Expires) }

// RenewAt returns when the grant should be renewed: at two thirds of its life.
func (g *Grant) RenewAt() time.Time {
	return time.UnixMilli(g.Issued + (g.Expires-g.Issued)/3*2)
}

// Warning returns words about an end that is near or past, and "" otherwise.
func (g *Grant) Warning(now time.Time) string {
	left := g.ExpiresAt().Sub(now)
	switch {
	case left <= 0:
		return fmt.Sprintf("the grant of %s expired on %s", g.Name, g.ExpiresAt().UTC().Format(time.DateOnly))
	case left < day:
		return fmt.Sprintf("the grant of %s expires in %s", g.Name, left.Round(time.Minute))
	case left <= warnBefore && left < g.ExpiresAt().Sub(time.UnixMilli(g.Issued))/3:
		return fmt.Sprintf("the grant of %s expires in %d days", g.Name, int(left/day))
	default:
		return ""
	}
}

// Has reports whether the verb is among those of the grant, alone or by a pattern.
func (g *Grant) Has(verb string) bool { return coversOne(g.Verbs, verb) }

// commands reports whether the grant gives any verb, now or for some time.
func (g *Grant) commands() bool {
	return slices.ContainsFunc(g.rights(), func(r Right) bool { return len(r.Verbs) > 0 })
}

// rights are the grant's own and the further ones.
func (g *Grant) rights() []Right {
	return append([]Right{{Verbs: g.Verbs, On: g.On}}, g.Also...)
}

// Allows returns why the grant does not give the verb on a machine with these labels at this time:
// [ErrVerb], [ErrSelector], or [ErrExpired] for a further right whose time is over. It does not
// look at the times of the grant itself.
func (g *Grant) Allows(verb string, labels map[string]string, now time.Time) error {
	err := fmt.Errorf("%w: %s is not among the rights of %s", ErrVerb, verb, g.Name)
	for _, r := range g.rights() {
		if !coversOne(r.Verbs, verb) {
			continue
		}
		if r.Expires != 0 && now.UnixMilli() >= r.Expires {
			err = fmt.Errorf("%w: %s had the right %s until %s", ErrExpired, g.Name, verb, when(r.Expires))
			continue
		}
		on, bad := ParseSelector(r.On)
		if bad == nil && on.Match(labels) {
			return nil
		}
		err = fmt.Errorf("%w: %s has the right %s on %s only", ErrSelector, g.Name, verb, r.On)
	}
	return err
}

// expired returns [ErrExpired] in words once the grant's time is over.
func (g *Grant) expired(now time.Time) error {
	if at := now.UnixMilli(); at >= g.Expires {
		return fmt.Errorf("%w: the grant of %s ended on %s, and our clock says %s",
			ErrExpired, g.Name, when(g.Expires), when(at))
	}
	return nil
}

func when(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04 UTC") }

// clone returns a copy that shares nothing.
func (g *Grant) clone() *Grant {
	if g == nil {
		return nil
	}
	c := *g
	c.Verbs, c.Labels, c.Also = slices.Clone(g.Verbs), maps.Clone(g.Labels), slices.Clone(g.Also)
	c.Accept, c.Despite, c.Origins = slices.Clone(g.Accept), slices.Clone(g.Despite), slices.Clone(g.Origins)
	for i, r := range c.Also {
		c.Also[i].Verbs = slices.Clone(r.Verbs)
	}
	if g.MayIssue != nil {
		b := *g.MayIssue
		b.Roles, b.Verbs, b.Labels = slices.Clone(b.Roles), slices.Clone(b.Verbs), maps.Clone(b.Labels)
		c.MayIssue = &b
	}
	return &c
}

// validate checks everything that one grant can say wrongly by itself.
func (g *Grant) validate() error {
	if err := g.Line.validate(); err != nil {
		return err
	}
	if err := g.Subject.Validate(); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if err := g.ValidateTexts(); err != nil {
		return err
	}
	switch {
	case g.N < 1 || g.N > maxNumber:
		return fmt.Errorf("the number %d makes no sense", g.N)
	case g.Issued < 0 || g.Issued > maxMillis || g.Expires <= 0 || g.Expires > maxMillis:
		return fmt.Errorf("the times %d, %d make no sense", g.Issued, g.Expires)
	case len(g.Despite) > maxDespite:
		return fmt.Errorf("it stands in spite of more than %d revocations", maxDespite)
	}
	if err := g.Sponsor.Validate(); g.Sponsor != "" && err != nil {
		return fmt.Errorf("sponsor: %w", err)
	}
	if err := validateOrigins(g.Origins); err != nil {
		return err
	}
	if err := g.validateAlso(); err != nil {
		return err
	}
	return g.validateBounds()
}

// checkGrant checks a grant's form: that its signer could ever sign such a thing.
func (f FleetID) checkGrant(g *Grant, signer, root peer.ID) error {
	switch {
	case g.Fleet != f:
		return otherFleet(g.Fleet, f)
	case g.By != signer:
		return fmt.Errorf("%w: a grant of %s signed by %s", ErrInvalid, g.By, signer)
	}
	if err := g.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(g.Accept) > 0 {
		if err := f.checkAccept(g); err != nil {
			return err
		}
		g.accepted = true
	}
	if signer == root {
		if g.Paper != "" || g.MayIssue != nil && (g.Line.By != root || g.Sponsor != "" || len(g.Origins) > 0) {
			return fmt.Errorf("%w: not the form of a grant by the root", ErrInvalid)
		}
		return nil
	}
	switch {
	case g.MayIssue != nil || len(g.Despite) > 0:
		return fmt.Errorf("%w: only the root makes issuers, and %s is not the root", ErrDepth, signer)
	case g.N >= maxDelegated:
		return fmt.Errorf("%w: the number %d is for the root", ErrInvalid, g.N)
	}
	if err := validateSerial(g.Paper); err != nil {
		return fmt.Errorf("%w: paper: %w", ErrInvalid, err)
	}
	return nil
}

func (g *Grant) validateAlso() error {
	if len(g.Also) > maxAlso {
		return fmt.Errorf("%d further rights are more than %d", len(g.Also), maxAlso)
	}
	for _, r := range g.Also {
		if err := validateVerbs(r.Verbs); err != nil {
			return err
		}
		if _, err := ParseSelector(r.On); err != nil {
			return err
		}
		if r.Expires < 0 || r.Expires > maxMillis {
			return fmt.Errorf("the time %d makes no sense", r.Expires)
		}
	}
	return nil
}

// maxMillis is the year 9999, so that sums of times never overflow.
const maxMillis = 253_402_300_799_000

// ValidateTexts checks what a person chooses in a grant: role, verbs, selector, name and labels.
func (g *Grant) ValidateTexts() error {
	if err := g.Role.validate(); err != nil {
		return err
	}
	if err := validateVerbs(g.Verbs); err != nil {
		return err
	}
	if _, err := ParseSelector(g.On); err != nil {
		return err
	}
	if err := ValidateName(g.Name); err != nil {
		return err
	}
	return validateLabels(g.Labels)
}

// ValidateName returns why a word cannot name a machine: it could be taken for something else, a
// peer ID, a serial, an address, a path or an option.
func ValidateName(name string) error {
	if name == "" || len(name) > maxName || !plain(name) || !alphanumeric(name[0]) {
		return fmt.Errorf("%q is no name: use 1 to %d letters, digits, and . _ - /, beginning with a letter or digit",
			shorten(name), maxName)
	}
	if LooksLikePeer(name) || LooksLikeSerial(name) {
		return fmt.Errorf("%q is no name: it could be taken for a peer ID or a serial", name)
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// LooksLikePeer reports whether a word is a peer ID, or begins as the ones of people's
// machines do: no name may.
func LooksLikePeer(word string) bool {
	_, err := peer.Decode(word)
	return err == nil || strings.HasPrefix(word, "12D3Koo") || len(word) > 2 && strings.HasPrefix(word, "Qm")
}

// LooksLikeSerial reports whether a word has the form of a line's serial: no name may.
func LooksLikeSerial(word string) bool { return validateSerial(word) == nil }

func (g *Grant) validateBounds() error {
	b := g.MayIssue
	switch {
	case b == nil:
		return nil
	case len(b.Roles) > 8 || slices.Contains(b.Roles, RoleIssuer):
		return fmt.Errorf("an issuer cannot make issuers")
	case len(b.Names) > maxGlob:
		return fmt.Errorf("the pattern for names is longer than %d", maxGlob)
	case !coversAll(g.Verbs, b.Verbs):
		return fmt.Errorf("an issuer cannot give verbs it lacks")
	case b.ForAll && (g.On != "" || b.Names != "" || len(b.Labels) > 0):
		return fmt.Errorf("an issuer for all has no bounds on machines, names or labels")
	}
	if _, err := path.Match(b.Names, ""); err != nil {
		return fmt.Errorf("the pattern for names: %w", err)
	}
	if err := validateVerbs(b.Verbs); err != nil {
		return err
	}
	return validateLabels(b.Labels)
}

const serialLength = 26

func validateSerial(s string) error {
	if len(s) != serialLength || !upper32(s) {
		return fmt.Errorf("%q is no serial", shorten(s))
	}
	return nil
}

// upper32 reports whether a text is of the alphabet of rand.Text, which also
// makes it safe as the name of a file.
func upper32(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < 'A' || c > 'Z') && (c < '2' || c > '7')
	})
}

const maxAcceptBytes = 1 << 10

func acceptKind() kind { return kind{"swarm-accept", "/swarm/accept/1", maxAcceptBytes} }

// acceptance is what a machine signs once, when it joins: that it asked the issuer that began the
// line to let it in.
type acceptance struct {
	Fleet FleetID `json:"fleet"`
	Line  Line    `json:"line"`
}

// Accept signs, with the key of the machine that joins, that it asks line.By for a grant.
func (f FleetID) Accept(line Line, key crypto.PrivKey) ([]byte, error) {
	return seal(acceptKind(), &acceptance{f, line}, key)
}

func (f FleetID) checkAccept(g *Grant) error {
	o, err := open[acceptance](acceptKind(), g.Accept)
	if err != nil {
		return err
	}
	if o.signer != g.Subject || o.value.Fleet != f || o.value.Line != g.Line {
		return fmt.Errorf("%w: the subject has accepted something else", ErrInvalid)
	}
	return nil
}

// TicketLine returns the line that a ticket's redeemer begins for a joiner. Both ends compute it
// beforehand, so the joiner's acceptance travels with its request. It differs for each joiner, so
// that no joiner gets into the line of another.
func TicketLine(f FleetID, redeemer, joiner peer.ID, ticket string) Line {
	sum := sha256.Sum256(fmt.Appendf(nil, "swarm-line %s %s %s %s", f, redeemer, joiner, ticket))
	return Line{By: redeemer, Serial: base32.StdEncoding.EncodeToString(sum[:])[:serialLength]}
}
