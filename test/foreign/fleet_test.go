package foreign_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	ticketID = "ABCDEFGHIJKLM"
	serial   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// made is the fleet of the vectors, of keys with the seeds of section 11 of docs/protocol.md: 01 is
// the joiner, 02 the redeemer, 03 the root. All that it signs is the same each time.
type made struct {
	joiner, redeemer, root crypto.PrivKey
	fleet                  trust.FleetID
	issuer, worker         trust.Chain
	line                   trust.Line // of the worker
	accept                 []byte
	now                    time.Time
}

func madeFleet(t *testing.T) *made {
	t.Helper()
	f := &made{joiner: keyOf(t, 1), redeemer: keyOf(t, 2), root: keyOf(t, 3), now: time.UnixMilli(1795249800250)}
	root, err := trust.RootFromSeed(bytes.Repeat([]byte{3}, 32))
	must(t, err)
	f.fleet = root.Fleet()
	signer, err := root.Signer()
	must(t, err)
	f.issuer, err = signer.Issue(trust.Grant{
		Subject: idOf(t, f.redeemer), Role: trust.RoleIssuer, Name: "laptop", Line: trust.Line{By: signer.ID(), Serial: serial},
		Verbs: []string{trust.AllVerbs, trust.VerbAdmit, trust.VerbRevoke},
		MayIssue: &trust.Bounds{
			ForAll: true, Roles: []trust.Role{trust.RoleWorker, trust.RoleViewer}, Verbs: []string{trust.ReadVerbs},
		},
	}, f.now)
	must(t, err)
	f.line = trust.TicketLine(f.fleet, idOf(t, f.redeemer), idOf(t, f.joiner), ticketID)
	f.accept, err = f.fleet.Accept(f.line, f.joiner)
	must(t, err)
	issuer, err := trust.NewIssuer(f.fleet, f.redeemer, f.issuer)
	must(t, err)
	f.worker, err = issuer.Issue(trust.Grant{
		Subject: idOf(t, f.joiner), Role: trust.RoleWorker, Name: "rig-01", Labels: map[string]string{"gpu": "3080"},
		Line: f.line, Accept: f.accept,
	}, f.now)
	must(t, err)
	return f
}

// fleetPayloads are those of the families join and peers.
func fleetPayloads(t *testing.T) (cases []payloadCase) {
	f := madeFleet(t)
	add := func(typ string, code streams.Code, name, payload string) {
		cases = append(cases, payloadCase{name, typ, jsontext.Value(payload), code})
	}
	const invalid = streams.CodeInvalid
	// list is n texts in an array; a text is in quotes already.
	list := func(n int, text string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(text+",", n), ",") + "]"
	}
	bytesOf := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	quoted := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	member := `{"peer":"` + me + `","record":"` + base64.StdEncoding.EncodeToString(recordOf(t, f.joiner)) + `","grant":` + string(f.worker.JSON()) + `}`
	statement := `"` + base64.StdEncoding.EncodeToString(f.issuer[0]) + `"`
	st, err := f.fleet.Open(f.issuer[0])
	must(t, err)
	id := `"` + st.ID.String() + `"`
	secret := bytesOf(16)

	add("join", 0, "who is the redeemer", `{"ticket":"`+ticketID+`"}`)
	add("join", 0, "the secret, and all members", `{"ticket":"`+ticketID+`","secret":"`+secret+`","addrs":["/ip4/192.0.2.1/tcp/4747"],"accept":"`+base64.StdEncoding.EncodeToString(f.accept)+`"}`)
	add("join", invalid, "no ticket", `{}`)
	add("join", invalid, "a ticket ID of 65 characters", `{"ticket":`+quoted(65)+`}`)
	add("join", invalid, "a secret of 65 bytes", `{"ticket":"`+ticketID+`","secret":"`+bytesOf(65)+`"}`)
	add("join", invalid, "a secret without its padding", `{"ticket":"`+ticketID+`","secret":"`+strings.TrimRight(secret, "=")+`"}`)
	add("join", 0, "16 addresses of 256 bytes", `{"ticket":"`+ticketID+`","addrs":`+list(16, quoted(256))+`}`)
	add("join", invalid, "17 addresses", `{"ticket":"`+ticketID+`","addrs":`+list(17, quoted(1))+`}`)
	add("join", invalid, "an address of 257 bytes", `{"ticket":"`+ticketID+`","addrs":`+list(1, quoted(257))+`}`)
	add("join", invalid, "an accept of a KiB and a byte", `{"ticket":"`+ticketID+`","accept":"`+bytesOf(1<<10+1)+`"}`)
	add("join_ack", 0, "the redeemer", `{"redeemer":`+string(f.issuer.JSON())+`}`)
	add("join_ack", 0, "a person has yet to confirm the joiner", `{"waiting":true}`)
	add("join_ack", 0, "let in", `{"redeemer":`+string(f.issuer.JSON())+`,"grant":`+string(f.worker.JSON())+`,"fleet":"home","statements":[`+statement+`],"members":[`+member+`]}`)
	add("join_ack", invalid, "65 statements", `{"statements":`+list(65, `""`)+`}`)
	add("join_ack", invalid, "33 members", `{"members":`+list(33, `{"peer":"`+me+`"}`)+`}`)
	add("join_ack", invalid, "a record of 2 KiB and a byte", `{"members":[{"peer":"`+me+`","record":"`+bytesOf(2<<10+1)+`"}]}`)

	add("offer", 0, "a ticket", `{"ticket":"`+ticketText(t, f)+`"}`)
	add("offer", invalid, "a ticket of 2 KiB and a byte", `{"ticket":`+quoted(2<<10+1)+`}`)
	add("offer_ack", 0, "nothing to say", `{}`)

	invitation := `{"id":"` + ticketID + `","name":"rig-01","role":"worker","verbs":[],"labels":{"gpu":"3080"},"expires":"2026-11-22T08:30:00Z"}`
	add("put_ticket", 0, "a ticket for a worker", `{"invitation":`+invitation+`,"secret":"`+secret+`"}`)
	add("put_ticket", invalid, "no secret", `{"invitation":`+invitation+`}`)
	add("put_ticket", invalid, "a secret of 65 bytes", `{"invitation":`+invitation+`,"secret":"`+bytesOf(65)+`"}`)
	add("put_ticket", invalid, "an invitation of 16 KiB and a byte", `{"invitation":`+quoted(16<<10-1)+`,"secret":"`+secret+`"}`)
	add("ticket_ack", 0, "where it can be redeemed", `{"addrs":["/ip4/192.0.2.2/tcp/4747"]}`)

	add("compare", 0, "nothing is known", `{"sums":`+list(256, `""`)+`}`)
	add("compare", 0, "one bucket, going on", `{"sums":`+oneSum(st.ID)+`,"after":`+id+`}`)
	add("compare", invalid, "255 sums", `{"sums":`+list(255, `""`)+`}`)
	add("compare", invalid, "a sum of 65 bytes", `{"sums":[`+quoted(65)+`,`+strings.TrimPrefix(list(255, `""`), "[")+`}`)
	add("compared", 0, "nothing differs", `{"ids":[],"buckets":[]}`)
	add("compared", 0, "there are more", fmt.Sprintf(`{"ids":[%s],"buckets":[%d],"more":true}`, id, st.ID[0]))
	add("compared", invalid, "1,001 IDs", `{"ids":`+list(1001, id)+`,"buckets":[]}`)
	add("compared", 0, "some are missing", `{"ids":[],"buckets":[],"missing":`+list(64, id)+`}`)
	add("compared", invalid, "65 that are missing", `{"ids":[],"buckets":[],"missing":`+list(65, id)+`}`)
	add("compared", invalid, "257 buckets", `{"ids":[],"buckets":`+list(257, `0`)+`}`)

	add("get_statements", 0, "64 IDs", `{"ids":`+list(64, id)+`}`)
	add("get_statements", invalid, "65 IDs", `{"ids":`+list(65, id)+`}`)
	add("get_statements", invalid, "an ID that is too short", `{"ids":["`+strings.Repeat("A", 42)+`"]}`)
	add("get_statements", invalid, "an ID that is too long", `{"ids":["`+strings.Repeat("A", 44)+`"]}`)
	add("statements", 0, "one", `{"statements":[`+statement+`]}`)
	add("statements", invalid, "65", `{"statements":`+list(65, `""`)+`}`)
	add("put_statements", 0, "one", `{"statements":[`+statement+`]}`)
	add("put_statements", invalid, "65", `{"statements":`+list(65, `""`)+`}`)
	add("statements_ack", 0, "nothing new", `{"new":false}`)
	add("statements_ack", 0, "something is missing", `{"new":true,"missing":[`+id+`]}`)
	add("statements_ack", invalid, "1,001 are missing", `{"new":false,"missing":`+list(1001, id)+`}`)

	add("get_addr", 0, "the first ones", `{}`)
	add("get_addr", 0, "all members", `{"after":"`+me+`","roles":["relay","controller"]}`)
	add("get_addr", invalid, "nine roles", `{"roles":`+list(9, `"relay"`)+`}`)
	add("get_addr", invalid, "after no peer", `{"after":"x"}`)
	add("addr", 0, "a member", `{"members":[`+member+`],"more":true}`)
	add("addr", 0, "a peer of a network without a fleet", `{"members":[{"peer":"`+me+`","record":"`+base64.StdEncoding.EncodeToString(recordOf(t, f.joiner))+`"}]}`)
	add("addr", invalid, "33 members", `{"members":`+list(33, `{"peer":"`+me+`"}`)+`}`)
	add("addr", invalid, "a record of 2 KiB and a byte", `{"members":[{"peer":"`+me+`","record":"`+bytesOf(2<<10+1)+`"}]}`)
	return cases
}

// oneSum is 256 sums of which only that of the bucket of id is not empty.
func oneSum(id trust.ID) string {
	sums := slices.Repeat([]string{`""`}, 256)
	sum := sha256.Sum256(id[:])
	sums[id[0]] = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return "[" + strings.Join(sums, ",") + "]"
}

// recordOf is a signed peer record with one address.
func recordOf(t *testing.T, key crypto.PrivKey) []byte {
	t.Helper()
	rec := &peer.PeerRecord{PeerID: idOf(t, key), Seq: 1795249800250000000, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.1/tcp/4747")}}
	env, err := record.Seal(rec, key)
	must(t, err)
	data, err := env.Marshal()
	must(t, err)
	return data
}

// statementCase is a signed statement, or bytes that are none.
type statementCase struct {
	Name      string         `json:"name"`
	Fleet     trust.FleetID  `json:"fleet"`
	Statement []byte         `json:"statement"`
	Payload   jsontext.Value `json:"payload,omitzero"` // of a valid one
	ID        string         `json:"id,omitzero"`
	Signer    peer.ID        `json:"signer,omitzero"`
}

// sealed is what any program may sign as a statement.
type sealed struct{ domain, codec, payload string }

func (s sealed) Domain() string                 { return s.domain }
func (s sealed) Codec() []byte                  { return []byte(s.codec) }
func (s sealed) MarshalRecord() ([]byte, error) { return []byte(s.payload), nil }
func (s sealed) UnmarshalRecord([]byte) error   { return nil }

func statementCases(t *testing.T) (cases []statementCase) {
	f := madeFleet(t)
	add := func(valid bool, name string, data []byte) {
		c := statementCase{Name: name, Fleet: f.fleet, Statement: data}
		if valid {
			st, err := f.fleet.Open(data)
			must(t, err)
			env, err := record.UnmarshalEnvelope(data)
			must(t, err)
			c.Payload, c.ID, c.Signer = jsontext.Value(env.RawPayload), st.ID.String(), st.Signer
		}
		cases = append(cases, c)
	}
	sign := func(key crypto.PrivKey, domain, codec, payload string) []byte {
		env, err := record.Seal(sealed{domain, codec, payload}, key)
		must(t, err)
		data, err := env.Marshal()
		must(t, err)
		return data
	}
	grant := func(key crypto.PrivKey, payload string) []byte {
		return sign(key, "swarm-grant", "/swarm/grant/2", payload)
	}
	change := func(data []byte, old, with string) string {
		env, err := record.UnmarshalEnvelope(data)
		must(t, err)
		if !strings.Contains(string(env.RawPayload), old) {
			t.Fatalf("%s has no %s", env.RawPayload, old)
		}
		return strings.Replace(string(env.RawPayload), old, with, 1)
	}
	root, redeemer := idOf(t, f.root), idOf(t, f.redeemer)
	issuer, worker := f.issuer[0], f.worker[1]
	head := func(by peer.ID) string { return fmt.Sprintf(`{"fleet":"%s","by":"%s"`, f.fleet, by) }
	revocation := func(by peer.ID, more string) string {
		return head(by) + `,"peer":"` + me + `","nonce":"` + serial + `","issued":1795249800250` + more + `}`
	}
	paper := func(papers ...[]byte) string {
		b, err := json.Marshal(papers)
		must(t, err)
		return string(b)
	}
	add(true, "a grant by the root, of an issuer", issuer)
	add(true, "a grant by an issuer, of a worker", worker)
	add(false, "a byte too many", append(slices.Clone(issuer), 0))
	add(false, "a byte too few", issuer[:len(issuer)-1])
	add(false, "an unknown field of the envelope", append(slices.Clone(issuer), 0x4a, 0))
	add(false, "a name that was changed", bytes.Replace(worker, []byte("rig-01"), []byte("rig-02"), 1))
	add(true, "a grant with a number of the root's", grant(f.root, change(issuer, `"n":1,`, `"n":9007199254740991,`)))
	add(false, "a number that is too large", grant(f.root, change(issuer, `"n":1,`, `"n":9007199254740992,`)))
	add(false, "a number of 0", grant(f.root, change(issuer, `"n":1,`, `"n":0,`)))
	add(false, "an issuer's number of 2^40", grant(f.redeemer, change(worker, `"n":1,`, `"n":1099511627776,`)))
	add(false, "an unknown member", grant(f.root, change(issuer, `"n":1,`, `"n":1,"later":1,`)))
	add(false, "a member twice", grant(f.root, change(issuer, `"n":1,`, `"n":1,"n":1,`)))
	add(false, "another fleet", grant(f.root, change(issuer, string(f.fleet), strings.Repeat("a", 52))))
	add(false, "a signer that is not by", grant(f.joiner, change(worker, `"n":1,`, `"n":1,`)))
	add(false, "a name that is a peer ID", grant(f.redeemer, change(worker, `"rig-01"`, `"`+me+`"`)))
	add(false, "an issuer that is made by an issuer", grant(f.redeemer, change(issuer, `"by":"`+root.String()+`","line"`, `"by":"`+redeemer.String()+`","line"`)))
	add(false, "a serial in lower case", grant(f.root, change(issuer, serial, strings.ToLower(serial))))
	add(false, "an issuer's grant in another's line", grant(f.root, change(issuer, `"line":{"by":"`+root.String(), `"line":{"by":"`+me)))
	add(false, "an issuer's grant with a sponsor", grant(f.root, change(issuer, `"n":1,`, `"n":1,"sponsor":"`+me+`",`)))
	add(false, "an issuer that may give verbs it lacks", grant(f.root, change(issuer, `"verbs":["*.read"]`, `"verbs":["grant"]`)))
	add(false, "an issuer that may make issuers", grant(f.root, change(issuer, `"roles":["worker"`, `"roles":["issuer"`)))
	add(false, "an issuer for all on some machines", grant(f.root, change(issuer, `"n":1,`, `"n":1,"on":"gpu",`)))
	add(false, "a grant by the root with paper", grant(f.root, change(issuer, `"n":1,`, `"n":1,"paper":"`+serial+`",`)))
	add(false, "a grant by an issuer without paper", grant(f.redeemer, change(worker, `"paper":"`+serial+`"`, `"paper":""`)))
	add(false, "an accept of another line", grant(f.redeemer, change(worker, f.line.Serial, serial)))
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for _, c := range []struct {
		n     int
		words string
	}{{8, "eight"}, {9, "nine"}} {
		n, words, right := c.n, c.words, c.n == 8
		add(right, words+" further rights", grant(f.redeemer, change(worker, `"n":1,`, `"n":1,"also":[`+many(n, `{"verbs":["stats.read"]}`)+`],`)))
		add(right, words+" origins", grant(f.redeemer, change(worker, `"n":1,`, `"n":1,"origins":[`+many(n, `{"by":"`+me+`","paper":"`+serial+`"}`)+`],`)))
	}
	var labels []string
	for i := range 32 {
		labels = append(labels, fmt.Sprintf(`"%02d%s":"%s"`, i, strings.Repeat("k", 61), strings.Repeat("v", 63)))
	}
	long := `"labels":{` + strings.Join(labels, ",") + `},"also":[` + many(8, `{"verbs":["`+strings.Repeat("v", 64)+`","`+strings.Repeat("w", 64)+`"]}`) + `],`
	add(false, "a grant of more than 6 KiB", grant(f.redeemer, strings.Replace(change(worker, `"n":1,`, `"n":1,`+long), `"labels":{"gpu":"3080"},`, ``, 1)))
	add(false, "the domain of another kind", sign(f.root, "swarm-policy", "/swarm/grant/2", change(issuer, `"n":1,`, `"n":1,`)))
	add(false, "an unknown kind", sign(f.root, "swarm-grant", "/swarm/grant/1", change(issuer, `"n":1,`, `"n":1,`)))
	revoke := func(key crypto.PrivKey, payload string) []byte {
		return sign(key, "swarm-revocation", "/swarm/revocation/1", payload)
	}
	add(true, "a revocation by the root", revoke(f.root, revocation(root, "")))
	add(false, "a revocation by the root with evidence", revoke(f.root, revocation(root, `,"evidence":`+paper(worker))))
	add(true, "a revocation by an issuer", revoke(f.redeemer, revocation(redeemer, `,"paper":"`+base64.StdEncoding.EncodeToString(issuer)+`","evidence":`+paper(worker))))
	add(false, "a revocation by an issuer without evidence", revoke(f.redeemer, revocation(redeemer, `,"paper":"`+base64.StdEncoding.EncodeToString(issuer)+`"`)))
	add(false, "a revocation by a member that is no issuer", revoke(f.joiner, revocation(idOf(t, f.joiner), `,"paper":"`+base64.StdEncoding.EncodeToString(worker)+`","evidence":`+paper(worker))))
	add(false, "a revocation of a peer and a line", revoke(f.root, revocation(root, `,"line":{"by":"`+me+`","serial":"`+serial+`"}`)))
	add(false, "a revocation of nothing", revoke(f.root, strings.Replace(revocation(root, ""), `"peer":"`+me+`",`, "", 1)))
	st, err := f.fleet.Open(issuer)
	must(t, err)
	lift := func(key crypto.PrivKey, more string) []byte {
		return sign(key, "swarm-lift", "/swarm/lift/1", `{"fleet":"`+string(f.fleet)+`",`+more+`"issued":1795249800250}`)
	}
	ids := `"ids":["` + st.ID.String() + `"],`
	add(true, "a lift of a revocation", lift(f.root, ids))
	add(true, "a lift of all that a signer revoked but one", lift(f.root, `"signer":"`+redeemer.String()+`","lines":["`+serial+`"],"standing":["`+st.ID.String()+`"],`))
	add(true, "a lift for a machine", lift(f.root, ids+`"machine":"`+me+`",`))
	add(false, "a lift by an issuer", lift(f.redeemer, ids))
	add(false, "a lift of nothing", lift(f.root, ""))
	add(false, "a lift of revocations and of a signer's", lift(f.root, ids+`"signer":"`+redeemer.String()+`",`))
	policy := func(key crypto.PrivKey, more string) []byte {
		return sign(key, "swarm-policy", "/swarm/policy/1", `{"fleet":"`+string(f.fleet)+`",`+more+`"issued":1795249800250}`)
	}
	add(true, "a policy", policy(f.root, `"minProtocol":"1.0.0",`))
	add(false, "a policy by an issuer", policy(f.redeemer, `"minProtocol":"1.0.0",`))
	add(false, "a policy that says nothing", policy(f.root, ""))
	return cases
}

func TestStatementVectors(t *testing.T) {
	const about = "Signed statements of a fleet, in base64. One with an id is valid in form, by that signer, and has that payload; others are refused."
	for _, c := range vectorsOf(t, "statements.json", about, statementCases(t)) {
		t.Run(c.Name, func(t *testing.T) {
			st, err := c.Fleet.Open(c.Statement)
			if c.ID == "" {
				if err == nil {
					t.Error("it is valid")
				}
				return
			}
			must(t, err)
			if st.ID.String() != c.ID || st.Signer != c.Signer {
				t.Errorf("got %s by %s, want %s by %s", st.ID, st.Signer, c.ID, c.Signer)
			}
		})
	}
}

// ticketText is a ticket for the joiner.
func ticketText(t *testing.T, f *made) string {
	t.Helper()
	text, err := (&ticket.Ticket{
		Fleet: f.fleet, FleetName: "home", Redeemer: idOf(t, f.redeemer), ID: ticketID,
		Addrs:  []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.2/tcp/4747")},
		Secret: make([]byte, 16), Role: trust.RoleWorker, Name: "rig-01", Labels: map[string]string{"gpu": "3080"},
		Expires: f.now.Add(24 * time.Hour).Truncate(time.Second),
	}).Encode()
	must(t, err)
	return text
}

// ticketCase is a text, and what the ticket says, if it is one.
type ticketCase struct {
	Name   string      `json:"name"`
	Text   string      `json:"text"`
	Ticket *ticketSays `json:"ticket,omitzero"`
	Serial string      `json:"serial,omitzero"` // of the joiner's line
	Accept []byte      `json:"accept,omitzero"`
}

type ticketSays struct {
	Fleet     trust.FleetID     `json:"fleet"`
	FleetName string            `json:"fleetName"`
	Redeemer  peer.ID           `json:"redeemer"`
	Addrs     []string          `json:"addrs"`
	ID        string            `json:"id"`
	Secret    []byte            `json:"secret"`
	Role      trust.Role        `json:"role"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	Expires   int64             `json:"expires"` // Unix seconds
}

func saysOf(tk *ticket.Ticket) *ticketSays {
	s := &ticketSays{
		tk.Fleet, tk.FleetName, tk.Redeemer, nil, tk.ID, tk.Secret, tk.Role, tk.Name, tk.Labels, tk.Expires.Unix(),
	}
	for _, a := range tk.Addrs {
		s.Addrs = append(s.Addrs, a.String())
	}
	return s
}

func ticketCases(t *testing.T) []ticketCase {
	f := madeFleet(t)
	good := ticketText(t, f)
	tk, err := ticket.Parse(good)
	must(t, err)
	return []ticketCase{
		{"a ticket", good, saysOf(tk), f.line.Serial, f.accept},
		{"a ticket with white space", " " + good[:20] + "\n\t" + good[20:] + "\r\n", saysOf(tk), f.line.Serial, f.accept},
		{Name: "nothing", Text: ""},
		{Name: "a later version", Text: strings.Replace(good, "swarm1-", "swarm2-", 1)},
		{Name: "cut short", Text: good[:len(good)-1]},
		{Name: "a character that was changed", Text: strings.Replace(good, good[30:34], "AAAA", 1)},
		{Name: "padding", Text: good + "="},
		{Name: "too long", Text: good + strings.Repeat("A", 2<<10)},
	}
}

func TestTicketVectors(t *testing.T) {
	about := "Tickets for the peer " + me + ". A text with a ticket says that, and the line in the joiner's accept has that serial; others are refused."
	for _, c := range vectorsOf(t, "tickets.json", about, ticketCases(t)) {
		t.Run(c.Name, func(t *testing.T) {
			tk, err := ticket.Parse(c.Text)
			if c.Ticket == nil {
				if err == nil {
					t.Errorf("it says %v", saysOf(tk))
				}
				return
			}
			must(t, err)
			got, err := json.Marshal(saysOf(tk), json.Deterministic(true))
			must(t, err)
			want, err := json.Marshal(c.Ticket, json.Deterministic(true))
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			// As docs/protocol.md has it, by hand.
			joiner, err := peer.Decode(me)
			must(t, err)
			sum := sha256.Sum256(fmt.Appendf(nil, "swarm-line %s %s %s %s", tk.Fleet, tk.Redeemer, joiner, tk.ID))
			if s := base32.StdEncoding.EncodeToString(sum[:])[:26]; s != c.Serial {
				t.Errorf("got the serial %s, want %s", s, c.Serial)
			}
		})
	}
}

func keyOf(t *testing.T, seed byte) crypto.PrivKey {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	must(t, err)
	return key
}

func idOf(t *testing.T, key crypto.PrivKey) peer.ID {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	must(t, err)
	return id
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
