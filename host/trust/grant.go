package trust

import (
	"crypto/rand"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds on the texts of a grant.
const (
	maxName       = 63 // of a machine or a fleet, as in DNS
	maxGlob       = 128
	maxGrantBytes = 6 << 10
)

func grantKind() kind { return kind{"swarm-grant", "/swarm/grant/1", maxGrantBytes} }

// Grant is what the fleet says of one of its members. It is data: only a
// [Chain] that was verified makes it true. Times are in Unix milliseconds.
type Grant struct {
	Fleet   FleetID `json:"fleet"`
	Serial  string  `json:"serial"` // at least 128 random bits; names the grant for revoking
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
	// Issued is when it was signed by the signer's clock.
	Issued    int64 `json:"issued"`
	NotBefore int64 `json:"notBefore"`
	Expires   int64 `json:"expires"`
	// NoRenew keeps the grant from being renewed by itself: it was given for a time.
	NoRenew bool `json:"noRenew,omitempty"`
	// MayIssue lets an issuer sign for others; nil for everybody else.
	MayIssue *Bounds `json:"mayIssue,omitempty"`
}

// Right is some verbs, on some machines, for a time.
type Right struct {
	Verbs []string `json:"verbs"`
	// On is a [Selector]; empty means all machines.
	On string `json:"on,omitempty"`
	// Expires is its end in Unix milliseconds; 0 means with the grant.
	Expires int64 `json:"expires,omitempty"`
}

// maxAlso is how many further rights a grant may hold.
const maxAlso = 8

// Bounds say what an issuer may give. The zero value lets it give nothing.
type Bounds struct {
	// Roles it may give, never issuer.
	Roles []Role `json:"roles,omitempty"`
	// Verbs it may give: at most those it has itself.
	Verbs []string `json:"verbs,omitempty"`
	// Names is a pattern as of path.Match for the names it may give; empty means any.
	Names string `json:"names,omitempty"`
	// Labels must all be in each grant that it signs.
	Labels map[string]string `json:"labels,omitempty"`
}

// warnBefore is how long before its end a grant is talked about.
const warnBefore = 30 * day

// ExpiresAt returns the end as a time.
func (g *Grant) ExpiresAt() time.Time { return time.UnixMilli(g.Expires) }

// RenewAt returns when the grant should be renewed: at two thirds of its life.
func (g *Grant) RenewAt() time.Time {
	return time.UnixMilli(g.NotBefore + (g.Expires-g.NotBefore)/3*2)
}

// Warning returns words about an end that is near or past, and "" otherwise.
func (g *Grant) Warning(now time.Time) string {
	left := g.ExpiresAt().Sub(now)
	switch {
	case left <= 0:
		return fmt.Sprintf("the grant of %s expired on %s; renew it with: swarm renew", g.Name, g.ExpiresAt().UTC().Format(time.DateOnly))
	case left < day:
		return fmt.Sprintf("the grant of %s expires in %s; renew it with: swarm renew", g.Name, left.Round(time.Minute))
	case left <= warnBefore && left < g.ExpiresAt().Sub(time.UnixMilli(g.NotBefore))/3:
		return fmt.Sprintf("the grant of %s expires in %d days; renew it with: swarm renew", g.Name, int(left/day))
	default:
		return ""
	}
}

// Has tells whether the verb is among those of the grant, alone or by a pattern.
func (g *Grant) Has(verb string) bool { return coversOne(g.Verbs, verb) }

// rights are the grant's own and the further ones.
func (g *Grant) rights() []Right {
	return append([]Right{{Verbs: g.Verbs, On: g.On}}, g.Also...)
}

// Allows tells why the grant does not give the verb on a machine with these
// labels at this time: [ErrVerb], [ErrSelector], or [ErrExpired] for a further
// right whose time is over. The times of the grant itself are not looked at.
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

// validAt judges the times alone.
func (g *Grant) validAt(now time.Time) error {
	switch at := now.UnixMilli(); {
	case at < g.NotBefore:
		return fmt.Errorf("%w: the grant starts on %s, and our clock says %s", ErrNotYetValid, when(g.NotBefore), when(at))
	case at >= g.Expires:
		return fmt.Errorf("%w: the grant ended on %s, and our clock says %s", ErrExpired, when(g.Expires), when(at))
	default:
		return nil
	}
}

func when(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04 UTC") }

// clone returns a copy that shares nothing.
func (g *Grant) clone() *Grant {
	if g == nil {
		return nil
	}
	c := *g
	c.Verbs, c.Labels, c.Also = slices.Clone(g.Verbs), maps.Clone(g.Labels), slices.Clone(g.Also)
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
	if _, err := ParseFleetID(string(g.Fleet)); err != nil {
		return err
	}
	if err := validateSerial(g.Serial); err != nil {
		return err
	}
	if err := g.Subject.Validate(); err != nil {
		return fmt.Errorf("subject: %w", err)
	}
	if err := validateGiven(g.Role, g.Verbs, g.On, g.Name, g.Labels); err != nil {
		return err
	}
	if g.Issued <= 0 || g.NotBefore < 0 || g.Expires <= g.NotBefore || g.Expires > maxMillis {
		return fmt.Errorf("the times %d, %d, %d make no sense", g.Issued, g.NotBefore, g.Expires)
	}
	if err := g.validateAlso(); err != nil {
		return err
	}
	return g.validateBounds()
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

// validateGiven checks the texts that a person chooses, in grants and tickets.
func validateGiven(role Role, verbs []string, on, name string, labels map[string]string) error {
	if err := role.validate(); err != nil {
		return err
	}
	if err := validateVerbs(verbs); err != nil {
		return err
	}
	if _, err := ParseSelector(on); err != nil {
		return err
	}
	if err := validateName(name); err != nil {
		return err
	}
	return validateLabels(labels)
}

func validateName(name string) error {
	if name == "" || len(name) > maxName || !plain(name) {
		return fmt.Errorf("%q is no name: use 1 to %d letters, digits, and . _ - /", shorten(name), maxName)
	}
	return nil
}

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
	}
	if _, err := path.Match(b.Names, ""); err != nil {
		return fmt.Errorf("the pattern for names: %w", err)
	}
	if err := validateVerbs(b.Verbs); err != nil {
		return err
	}
	return validateLabels(b.Labels)
}

// newSerial returns 26 characters with at least 128 random bits.
func newSerial() string { return rand.Text() }

const serialLength = 26

func validateSerial(s string) error {
	if len(s) != serialLength || !upper32(s) {
		return fmt.Errorf("%q is no serial", shorten(s))
	}
	return nil
}

// upper32 tells whether a text is of the alphabet of rand.Text, which also
// makes it safe as the name of a file.
func upper32(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < 'A' || c > 'Z') && (c < '2' || c > '7')
	})
}
