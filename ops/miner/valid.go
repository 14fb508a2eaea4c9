package miner

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Limits of what comes in from outside.
const (
	MaxName      = 63       // bytes of a workload's name
	MaxAlgorithm = 32       // bytes of an algorithm's name
	MaxPool      = 256      // bytes of a pool's URL
	MaxUser      = 256      // bytes of a wallet, and of a password
	MaxThreads   = 1024     // threads in a request; the worker's processors bound them further
	MaxConfig    = 16 << 10 // bytes of further settings
)

var (
	namePattern      = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)
	algorithmPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._/-]*$`)
	hostPattern      = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?\.?$`)
)

// ValidName tells what is wrong with a workload's name. A name is one safe path element on every
// system.
func ValidName(name string) error {
	if len(name) > MaxName || !namePattern.MatchString(name) {
		return fmt.Errorf("name %.70q: need 1 to %d of a-z 0-9 . _ - that begin and end with a letter or digit",
			name, MaxName)
	}
	return nil
}

// ValidAlgorithm tells what is wrong with an algorithm's name, such as "rx/0".
func ValidAlgorithm(name string) error {
	if len(name) > MaxAlgorithm || !algorithmPattern.MatchString(name) {
		return fmt.Errorf("algorithm %.40q: need 1 to %d of a-z 0-9 . _ / - that begin with a letter or digit",
			name, MaxAlgorithm)
	}
	return nil
}

// ValidUser tells what is wrong with a wallet or a password: what names it in the error, and the
// value is not repeated. Empty is valid.
func ValidUser(what, value string) error {
	if len(value) > MaxUser {
		return fmt.Errorf("%s is longer than %d bytes", what, MaxUser)
	}
	if strings.HasPrefix(value, "-") {
		return fmt.Errorf("%s begins with a dash", what)
	}
	for i := range len(value) {
		if value[i] <= ' ' || value[i] > '~' {
			return fmt.Errorf("%s holds a byte that is not printable ASCII", what)
		}
	}
	return nil
}

// Pool is the address of a mining pool.
type Pool struct {
	Host string
	Port uint16
	TLS  bool
}

// ParsePool reads "stratum+tcp://host:port" or "stratum+ssl://host:port". Nothing else is taken: no
// user, no path, no default port.
func ParsePool(s string) (Pool, error) {
	if len(s) > MaxPool {
		return Pool{}, fmt.Errorf("pool is longer than %d bytes", MaxPool)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "stratum+ssl" && u.Scheme != "stratum+tcp" {
		return Pool{}, fmt.Errorf("pool %.80q: need stratum+tcp://host:port or stratum+ssl://host:port", s)
	}
	p := Pool{Host: u.Hostname(), TLS: u.Scheme == "stratum+ssl"}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return Pool{}, fmt.Errorf("pool %.80q: need a port from 1 to 65535", s)
	}
	p.Port = uint16(port)
	if net.ParseIP(p.Host) == nil && !hostPattern.MatchString(p.Host) {
		return Pool{}, fmt.Errorf("pool %.80q: bad host name", s)
	}
	if p.String() != s {
		return Pool{}, fmt.Errorf("pool %.80q: only a scheme, a host and a port may be there, as in %s", s, p)
	}
	return p, nil
}

// Address is the host and port, as for net.Dial.
func (p Pool) Address() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// String is the pool as ParsePool reads it.
func (p Pool) String() string {
	if p.TLS {
		return "stratum+ssl://" + p.Address()
	}
	return "stratum+tcp://" + p.Address()
}
