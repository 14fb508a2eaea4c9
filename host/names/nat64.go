package names

import (
	"errors"
	"net/netip"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// A network with IPv6 alone may have a router that translates to IPv4 (NAT64, RFC 6146). It takes an
// address of IPv4 inside one of IPv6, behind a prefix of its own, which its name server tells: it
// makes addresses of IPv6 (DNS64, RFC 6147) also for a name that by definition has only these two of
// IPv4 (RFC 7050).
const onlyIPv4 = "ipv4only.arpa"

var wellKnown = [2]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}

// translator is the prefix of a NAT64, of so many bits.
type translator struct {
	prefix netip.Addr
	bits   int
}

// commonTranslator is the prefix that no network but one with a NAT64 has (RFC 6052).
var commonTranslator = translator{netip.MustParseAddr("64:ff9b::"), 96}

// places are where an address of IPv4 stands in one of IPv6, by the bits of the prefix: octet 8 is not
// used (RFC 6052).
var places = map[int][4]int{
	32: {4, 5, 6, 7},
	40: {5, 6, 7, 9},
	48: {6, 7, 9, 10},
	56: {7, 9, 10, 11},
	64: {9, 10, 11, 12},
	96: {12, 13, 14, 15},
}

// translatorOf returns the NAT64 whose name server has given this address to onlyIPv4.
func translatorOf(a netip.Addr) (translator, bool) {
	for _, bits := range [...]int{96, 64, 56, 48, 40, 32} {
		t := translator{a, bits}
		if four := t.inside(a); four == wellKnown[0] || four == wellKnown[1] {
			t.prefix = netip.PrefixFrom(a, bits).Masked().Addr()
			return t, true
		}
	}
	return translator{}, false
}

// inside returns the address of IPv4 that stands in a.
func (t translator) inside(a netip.Addr) netip.Addr {
	var four [4]byte
	six := a.As16()
	for i, at := range places[t.bits] {
		four[i] = six[at]
	}
	return netip.AddrFrom4(four)
}

// of returns the address by which a is reached.
func (t translator) of(a netip.Addr) netip.Addr {
	six := t.prefix.As16()
	for i, at := range places[t.bits] {
		six[at] = a.As4()[i]
	}
	return netip.AddrFrom16(six)
}

func (t translator) translates(a netip.Addr) bool {
	return netip.PrefixFrom(t.prefix, t.bits).Contains(a)
}

// translators returns those of this network, as far as they are known from the answers.
func translators(answers []string) (out []translator) {
	for _, text := range answers {
		if a, err := netip.ParseAddr(text); err == nil && a.Is6() {
			if t, ok := translatorOf(a); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

// Resolves reports whether Look has an answer for an address: because it begins with a name; or with a
// public address of IPv4, and this machine has a way by IPv6 alone, so that it takes a translator.
func (r *Resolver) Resolves(a multiaddr.Multiaddr) bool {
	return Named(a) || translatable(a) && r.only6()
}

// Lasting returns an address as it is good in any network: of IPv4, where it is one by which this
// network translates.
func (r *Resolver) Lasting(a multiaddr.Multiaddr) multiaddr.Multiaddr {
	at, err := ipOf(a)
	if err != nil || !at.Is6() {
		return a
	}
	r.mu.Lock()
	var answers []string
	if known := r.known[question{ip6, onlyIPv4}]; known != nil {
		answers = known.records
	}
	r.mu.Unlock()
	for _, t := range append(translators(answers), commonTranslator) {
		if t.translates(at) {
			return with(a, t.inside(at))
		}
	}
	return a
}

// errNoIP means that an address begins with no IP address.
var errNoIP = errors.New("no IP address")

// translated returns the addresses by which one of IPv4 is reached from here, as far as they are known.
func (v *view) translated(a multiaddr.Multiaddr) (out []multiaddr.Multiaddr) {
	at, err := ipOf(a)
	if err != nil || !translatable(a) || !v.r.only6() {
		return nil
	}
	for _, t := range translators(v.ask(question{ip6, onlyIPv4})) {
		if to := with(a, t.of(at)); !multiaddr.Contains(out, to) {
			out = append(out, to)
		}
	}
	v.translations = append(v.translations, out...)
	return out
}

// translatable reports whether an address begins with one of IPv4 that a NAT64 leads to.
func translatable(a multiaddr.Multiaddr) bool {
	return len(a) > 0 && a[0].Protocol().Code == multiaddr.P_IP4 && manet.IsPublicAddr(a)
}

func ipOf(a multiaddr.Multiaddr) (netip.Addr, error) {
	if len(a) == 0 {
		return netip.Addr{}, errNoIP
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, err
	}
	at, _ := netip.AddrFromSlice(ip)
	return at.Unmap(), nil
}

// with returns an address with another IP address at its beginning.
func with(a multiaddr.Multiaddr, at netip.Addr) multiaddr.Multiaddr {
	ip, err := manet.FromIP(at.AsSlice())
	if err != nil {
		return a
	}
	return multiaddr.Join(ip, a[1:])
}
