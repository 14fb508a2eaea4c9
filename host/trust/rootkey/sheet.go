package rootkey

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// ErrSheet: a backup sheet cannot be read. The error's text names the line.
var ErrSheet = errors.New("not a backup sheet")

const (
	maxSheet        = 64 << 10
	maxSheetPeers   = 16
	maxSheetIssuers = 256
	sheetGroup      = 4  // characters of the key
	sheetPerLine    = 16 // so that a line is typed at a glance
	sheetCheck      = 4  // characters that check a line
	sheetKey        = "key"
	sheetFleet      = "fleet"
	sheetController = "controller"
	sheetIssuer     = "issuer"
	sheetDelegate   = "delegate"
	sheetRelay      = "relay"
	sheetMember     = "member"
)

// Sheet is the backup of a fleet on paper. Whoever has it owns the fleet.
type Sheet struct {
	Root      *trust.Root
	FleetName string
	// Controller is the machine that the sheet replaces: restoring revokes it.
	Controller peer.ID
	// Issuers are all that the root ever let sign for everybody, and those that it has ended. A
	// restore ends them, and it can end only what it can name.
	Issuers []peer.ID
	// Delegates are the issuers that are not for all. A restore leaves them, and names them.
	Delegates []peer.ID
	// Relays and Members are where to ask for the rest; 16 of both at most.
	Relays, Members []peer.AddrInfo
}

// Shorten leaves as many issuers, relays and members as a sheet holds, with two addresses each.
func (s *Sheet) Shorten() {
	s.Issuers = s.Issuers[:min(len(s.Issuers), maxSheetIssuers)]
	s.Relays = s.Relays[:min(len(s.Relays), maxSheetPeers)]
	s.Members = s.Members[:min(len(s.Members), maxSheetPeers-len(s.Relays))]
	for _, list := range [][]peer.AddrInfo{s.Relays, s.Members} {
		for i := range list {
			list[i].Addrs = list[i].Addrs[:min(len(list[i].Addrs), 2)]
		}
	}
}

// Text returns the sheet for printing: plain ASCII. Each line of the key ends in characters that
// check it.
func (s *Sheet) Text(restore string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Backup of the swarm fleet %s\n#\n", s.FleetName)
	fmt.Fprintf(&b, "# WHOEVER READS THIS SHEET OWNS ALL MACHINES OF THE FLEET. Keep it like cash.\n#\n")
	fmt.Fprintf(&b, "# To get the machines back on a new computer, type this into a file and run:\n")
	fmt.Fprintf(&b, "#     %s\n", restore)
	fmt.Fprintf(&b, "# Lines that begin with # need not be typed. A line of the key that is typed\n# wrongly is told.\n#\n")
	fmt.Fprintf(&b, "# fingerprint: %s\n\n", s.Root.Fleet().Fingerprint())
	fmt.Fprintf(&b, "%s %s\n", sheetFleet, s.FleetName)
	if s.Controller != "" {
		fmt.Fprintf(&b, "%s %s\n", sheetController, s.Controller)
	}
	for _, p := range s.Issuers {
		fmt.Fprintf(&b, "%s %s\n", sheetIssuer, p)
	}
	for _, p := range s.Delegates {
		fmt.Fprintf(&b, "%s %s\n", sheetDelegate, p)
	}
	seed := seedOf(s.Root)
	for n := 1; seed != ""; n++ {
		part := seed[:min(len(seed), sheetPerLine)]
		seed = seed[len(part):]
		fmt.Fprintf(&b, "%s %d  %s  %s\n", sheetKey, n, grouped(part), checkLine(n, part))
	}
	for _, list := range []struct {
		word  string
		peers []peer.AddrInfo
	}{{sheetRelay, s.Relays}, {sheetMember, s.Members}} {
		for _, p := range list.peers {
			for _, a := range p.Addrs {
				fmt.Fprintf(&b, "%s %s/p2p/%s\n", list.word, a, p.ID)
			}
		}
	}
	return b.String()
}

func grouped(s string) string {
	var parts []string
	for ; s != ""; s = s[min(len(s), sheetGroup):] {
		parts = append(parts, s[:min(len(s), sheetGroup)])
	}
	return strings.Join(parts, " ")
}

// checkLine returns the characters that check a line of the key, and its place.
func checkLine(n int, part string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "swarm-sheet %d %s", n, part))
	return text32.EncodeToString(sum[:])[:sheetCheck]
}

// ParseSheet reads what was printed and typed in again: white space, empty lines and comments do
// not matter, nor does upper or lower case in the key. The error matches [ErrSheet] and names the
// line.
func ParseSheet(text string) (*Sheet, error) {
	if len(text) > maxSheet {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrSheet, maxSheet)
	}
	plain, wrong := durable.Text([]byte(text))
	if wrong != nil {
		return nil, fmt.Errorf("%w: %w", ErrSheet, wrong)
	}
	var (
		s    Sheet
		seed strings.Builder
		keys int
	)
	for n, line := range strings.Split(string(plain), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		word, rest := strings.ToLower(fields[0]), fields[1:]
		var err error
		switch word {
		case sheetKey:
			keys++
			err = readKeyLine(keys, rest, &seed)
		case sheetFleet:
			s.FleetName = strings.Join(rest, "")
		case sheetController:
			s.Controller, err = peer.Decode(strings.Join(rest, ""))
		case sheetIssuer:
			s.Issuers, err = addIssuer(s.Issuers, strings.Join(rest, ""))
		case sheetDelegate:
			s.Delegates, err = addIssuer(s.Delegates, strings.Join(rest, ""))
		case sheetRelay:
			s.Relays, err = addPeer(s.Relays, strings.Join(rest, ""))
		case sheetMember:
			s.Members, err = addPeer(s.Members, strings.Join(rest, ""))
		default:
			err = fmt.Errorf("%.64q is no word of a sheet", word)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrSheet, n+1, err)
		}
	}
	if trust.ValidateFleetName(s.FleetName) != nil {
		return nil, fmt.Errorf("%w: the line with the fleet's name is missing or wrong", ErrSheet)
	}
	var err error
	if s.Root, err = fromSeed(seed.String()); err != nil {
		return nil, fmt.Errorf("%w: lines of the key are missing", ErrSheet)
	}
	return &s, nil
}

// readKeyLine reads "2  abcd efgh ijkl mnop  qrst": its number, a part, its check.
func readKeyLine(n int, fields []string, seed *strings.Builder) error {
	if len(fields) < 3 {
		return errors.New("something is missing in this line of the key")
	}
	if fields[0] != fmt.Sprint(n) {
		return fmt.Errorf("this should be line %d of the key", n)
	}
	check := strings.ToLower(fields[len(fields)-1])
	part := strings.ToLower(strings.Join(fields[1:len(fields)-1], ""))
	if checkLine(n, part) != check {
		return errors.New("there is a typing error in this line of the key")
	}
	seed.WriteString(part)
	return nil
}

func addIssuer(list []peer.ID, text string) ([]peer.ID, error) {
	p, err := peer.Decode(text)
	if err == nil && len(list) >= maxSheetIssuers {
		err = fmt.Errorf("more than %d issuers", maxSheetIssuers)
	}
	return append(list, p), err
}

func addPeer(list []peer.AddrInfo, text string) ([]peer.AddrInfo, error) {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return nil, err
	}
	info, err := peer.AddrInfoFromP2pAddr(a)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID == info.ID {
			list[i].Addrs = append(list[i].Addrs, info.Addrs...)
			return list, nil
		}
	}
	if len(list) >= maxSheetPeers {
		return nil, fmt.Errorf("more than %d peers", maxSheetPeers)
	}
	return append(list, *info), nil
}
