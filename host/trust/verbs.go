package trust

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verbs that a grant may hold. An embedder may use verbs of its own. Two patterns stand for several
// verbs: [AllVerbs] and [ReadVerbs].
const (
	// AllVerbs stands for every verb except admit, grant and revoke, which must be given by name.
	AllVerbs = "*"
	// ReadVerbs stands for every verb that ends in ".read".
	ReadVerbs = "*.read"

	VerbAdmit  = "admit"  // let new members in with tickets
	VerbGrant  = "grant"  // give rights to members
	VerbRevoke = "revoke" // take rights away
)

// Bounds on what a grant may hold.
const (
	maxVerbs      = 64
	maxVerbLength = 64
)

// Role is what a member is for. It chooses the verbs and the lifetime of a grant that names none of
// its own; only the verbs in the grant count. This is the one place where roles are declared.
type Role string

// The roles.
const (
	RoleWorker     Role = "worker"
	RoleRelay      Role = "relay"
	RoleViewer     Role = "viewer"
	RoleController Role = "controller"
	RoleIssuer     Role = "issuer"
)

const day = 24 * time.Hour

// Verbs returns the verbs of the role. There are none for workers and relays, which command nobody,
// nor for issuers, whose verbs are chosen one by one.
func (r Role) Verbs() []string {
	switch r {
	case RoleViewer:
		return []string{ReadVerbs}
	case RoleController:
		return []string{AllVerbs}
	default:
		return nil
	}
}

// Lifetime returns how long a grant of the role lasts by default, or 0 for a word that is no role.
func (r Role) Lifetime() time.Duration {
	switch r {
	case RoleIssuer:
		return 2 * 365 * day
	case RoleWorker, RoleRelay:
		return 365 * day
	case RoleController, RoleViewer:
		return 90 * day
	default:
		return 0
	}
}

func (r Role) validate() error {
	if r.Lifetime() == 0 {
		return fmt.Errorf("unknown role %q", string(r))
	}
	return nil
}

// MergeVerbs returns the verbs that a grant gives on its machines for as long as it lasts.
func MergeVerbs(g *Grant) []string {
	out := slices.Clone(g.Verbs)
	for _, r := range g.Also {
		if r.On != g.On || r.Expires != 0 {
			continue
		}
		for _, v := range r.Verbs {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	return out
}

// covers reports whether the pattern in a grant includes the verb, which may be a narrower pattern.
func covers(pattern, verb string) bool {
	switch pattern {
	case verb:
		return true
	case AllVerbs:
		return verb != VerbAdmit && verb != VerbGrant && verb != VerbRevoke
	case ReadVerbs:
		return strings.HasSuffix(verb, ".read")
	default:
		return false
	}
}

func coversOne(patterns []string, verb string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, verb) })
}

// coversAll reports whether each of the verbs is included in one of the patterns.
func coversAll(patterns, verbs []string) bool {
	return !slices.ContainsFunc(verbs, func(v string) bool { return !coversOne(patterns, v) })
}

func validateVerbs(verbs []string) error {
	if len(verbs) > maxVerbs {
		return fmt.Errorf("%d verbs are more than %d", len(verbs), maxVerbs)
	}
	for _, v := range verbs {
		if err := validateVerb(v); err != nil {
			return err
		}
	}
	return nil
}

func validateVerb(v string) error {
	if v == AllVerbs || v == ReadVerbs {
		return nil
	}
	odd := strings.Trim(v, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" || strings.ContainsAny(v, "* ,")
	if v == "" || len(v) > maxVerbLength || odd {
		return fmt.Errorf("%q is no verb", v)
	}
	return nil
}
