package forwardcli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/ops/forward/target"
)

const (
	here  = "127.0.0.1"
	forms = "want LOCAL:REMOTE, as in 8080:127.0.0.1:80, 8080:80 or 0:192.168.1.5:80"
)

// ErrOpen means that an address to listen on is not of the loopback.
var ErrOpen = errors.New("connections from other machines would be taken there; if that is what you want, add --listen-any")

// Parse reads [ADDRESS:]PORT:[HOST:]PORT, or one PORT for both sides. Without an address the loopback is
// listened on, and any other address needs anyAddress; without a host the machine itself is meant.
func Parse(word string, anyAddress bool) (r agent.Route, err error) {
	parts, err := split(word)
	if err != nil {
		return r, err
	}
	local, remote := parts[:0], parts
	switch n := len(parts); {
	case n == 1:
		local, remote = parts, parts
	case n == 2, n == 3 && isPort(parts[0]):
		local, remote = parts[:1], parts[1:]
	case n == 3, n == 4:
		local, remote = parts[:2], parts[2:]
	}
	if r.Listen, err = listens(local, anyAddress); err != nil {
		return r, fmt.Errorf("%.80q: %w", word, err)
	}
	if r.To, err = goesTo(remote); err != nil {
		return r, fmt.Errorf("%.80q: %w; %s", word, err, forms)
	}
	return r, nil
}

// split splits at the colons outside of brackets, which it takes away.
func split(word string) (parts []string, err error) {
	rest := word
	for more := true; more && len(parts) < 5; {
		part := rest
		if strings.HasPrefix(rest, "[") {
			inner, after, ok := strings.Cut(rest[1:], "]")
			if !ok || after != "" && after[0] != ':' {
				return nil, fmt.Errorf("%.80q: an IPv6 address stands in brackets; %s", word, forms)
			}
			part, rest, more = inner, strings.TrimPrefix(after, ":"), after != ""
		} else {
			part, rest, more = strings.Cut(rest, ":")
		}
		parts = append(parts, part)
	}
	if len(parts) > 4 {
		return nil, fmt.Errorf("%.80q: too many colons; an IPv6 address stands in brackets; %s", word, forms)
	}
	return parts, nil
}

func isPort(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// listens is the address to listen on.
func listens(parts []string, anyAddress bool) (string, error) {
	host, port := here, parts[len(parts)-1]
	if port != "0" {
		if err := target.CheckPort(port); err != nil {
			return "", fmt.Errorf("%w; %s", err, forms)
		}
	}
	if len(parts) == 2 && parts[0] != "" && parts[0] != "localhost" {
		host = parts[0]
		if host == "*" {
			host = "0.0.0.0"
		}
		a, err := netip.ParseAddr(host)
		if err != nil {
			return "", fmt.Errorf("%.80q is no address of this machine; %s", host, forms)
		}
		if !a.Unmap().IsLoopback() && !anyAddress {
			return "", ErrOpen
		}
	}
	return net.JoinHostPort(host, port), nil
}

// goesTo is the target, in its one spelling.
func goesTo(parts []string) (string, error) {
	host, port := here, parts[len(parts)-1]
	if len(parts) == 2 {
		host = strings.ToLower(parts[0])
		if a, err := netip.ParseAddr(host); err == nil {
			host = a.Unmap().String()
		}
	}
	to := net.JoinHostPort(host, port)
	return to, target.Check(to)
}
