// Package target checks the addresses that connections are forwarded to. Each has one spelling only, so
// that a list of them is compared letter by letter, and nothing slips past it by another one.
package target

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// MaxLength is how many bytes a target may have.
const MaxLength = 253 + len("[]:65535")

// Check returns what is wrong with a target: it is host:port, where the host is an IP address as netip
// writes it, IPv6 in brackets, or a name in lower case. An address that means no single machine, or a
// machine in a roundabout way (0.0.0.0, ::, multicast, IPv4 within IPv6, zones), is none; nor is a name
// that some systems read as a number, such as 127.1 or 0x7f000001.
func Check(s string) error {
	if len(s) > MaxLength {
		return fmt.Errorf("a target has %d bytes at most", MaxLength)
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || net.JoinHostPort(host, port) != s {
		return fmt.Errorf("%q: want HOST:PORT, an IPv6 address in brackets", s)
	}
	if err := CheckPort(port); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	if err := checkHost(host); err != nil {
		return fmt.Errorf("%q: %w", s, err)
	}
	return nil
}

// CheckPort returns what is wrong with a port: it is a number from 1 to 65535, without leading zeros.
func CheckPort(s string) error {
	if n, err := strconv.ParseUint(s, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != s {
		return errors.New("the port is not a number from 1 to 65535")
	}
	return nil
}

func checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return checkAddr(a, host)
	}
	if len(host) > 253 {
		return errors.New("the name is too long")
	}
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return errors.New("want an IP address, or a name of a-z, 0-9, - and _ in lower case, without a dot at its end")
		}
	}
	last := labels[len(labels)-1]
	if hex, ok := strings.CutPrefix(last, "0x"); ok && strings.Trim(hex, "0123456789abcdef") == "" || strings.Trim(last, "0123456789") == "" {
		return errors.New("a name that ends in a number may be read as an address: write the address in full")
	}
	return nil
}

func checkAddr(a netip.Addr, host string) error {
	switch {
	case a.Zone() != "":
		return errors.New("want an address without a zone")
	case a.Is4In6():
		return fmt.Errorf("write it as %s", a.Unmap())
	case a.String() != host:
		return fmt.Errorf("write it as %s", a)
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errors.New("it is not the address of one machine; this machine itself is 127.0.0.1")
	}
	return nil
}
