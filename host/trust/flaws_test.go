package trust

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// flaw is one rule that is left out or wrong.
type flaw struct {
	name, from, what string
	edits            []edit
	rare             bool   // takes up to twice the histories of the fast set
	not              string // why the model of this package cannot show it
}

// edit replaces a text that stands in a file once.
type edit struct{ file, old, new string }

// flaws are those of the first design and of the drafts, each put back alone.
func flaws() []flaw {
	return slices.Concat(flawsOfSigning(), flawsOfCounting(), flawsOfMemory(), flawsFound())
}

func flawsOfSigning() []flaw {
	const verbs = "if g.commands() && !s.by.Root() {"
	stands := edit{"verdict.go", "case g.commands() && g.Line.By != g.By && g.Line.By != i.By:", "case false:"}
	return []flaw{
		{name: "resign_verbs", from: "C1", what: "a restore signs everybody anew", edits: []edit{stands, {"decide.go", verbs, "if false {"}}},
		{name: "renew_any", from: "model", what: "verbs that another signer gave are renewed by themselves", edits: []edit{stands,
			{"decide.go", "err != nil || g.By != s.root && g.By != s.by.id {", "err != nil {"}}},
		{name: "revoke_last", from: "C2", what: "the root's revocations need what others have signed", edits: []edit{
			{"decide.go", "if !s.by.Root() {\n\t\tif st := highest(s.issuers[p])", "if true {\n\t\tif st := highest(s.issuers[p])"}}},
		{name: "new_line", from: "model", what: "signing anew by itself begins a new line", edits: []edit{
			{"decide.go", "g := st.Grant.clone()\n\tif o := (Origin", "g := st.Grant.clone()\n\tg.Line, g.Accept = s.by.newLine(), nil\n\tif o := (Origin"}}},
		{name: "narrow_by_n", from: "model", what: "narrowing without revoking", edits: []edit{{"issuance.go", "if d.Narrow {\n\t\t\tif out", "if false {\n\t\t\tif out"}}},
		{name: "relabel_auto", from: "C6", what: "labels of a thief are signed anew", edits: []edit{{"decide.go", "if !s.by.gave(g) && !agree(known) {", "if false {"}}},
		{name: "copy_any", from: "model", what: "signing anew copies papers that never counted", edits: []edit{
			{"decide.go", "return slices.ContainsFunc(s.papersOf(g), func(i *Statement) bool { return i.Grant.stands(g) == nil })", "return len(s.issuers[g.By]) > 0"}, {"decide.go", "if !s.by.gave(g) && !agree(known) {", "if false {"}}},
	}
}

func flawsOfCounting() []flaw {
	live := func(body string) []edit {
		return []edit{{"set.go", "func (s *set) live(r *Statement) bool {", "func (s *set) live(r *Statement) bool {\n" + body}}
	}
	newer := func(which string) string {
		return `if r.Signer ` + which + ` s.root {
			for _, l := range s.revs {
				for _, o := range l {
					if o.Signer == r.Signer && cmp.Or(cmp.Compare(o.Revocation.Issued, r.Revocation.Issued), o.ID.Compare(r.ID)) > 0 {
						return false
					}
				}
			}
		}`
	}
	return []flaw{
		{name: "date_order", from: "C2", what: "the later date counts", edits: []edit{{"set.go", "cmp.Compare(a.Grant.N, b.Grant.N)", "cmp.Compare(a.Grant.Issued, b.Grant.Issued)"}}},
		{name: "newest_record", from: "C3", what: "the newest word of an issuer replaces its revocations", edits: live(newer("!="))},
		{name: "root_newest", from: "C4", what: "the same for the root", edits: live(newer("=="))},
		{name: "lift_by_peer", from: "C5", what: "a lift names a peer, not a revocation", edits: live(`for _, o := range s.revs[r.Revocation.target()] {
			if _, lifted := s.lifted[o.ID]; lifted && r.Signer != s.root {
				return false
			}
		}`)},
		{name: "could_give", from: "C6", what: "an issuer may replace what it could have given", edits: []edit{
			{"verdict.go", "case !i.MayIssue.ForAll && (!g.accepted || g.Line.By != g.By):", "case false:"}, {"verdict.go", "if i == nil || i.Grant.MayIssue.ForAll {\n\t\treturn 1", "if true {\n\t\treturn 1"}}},
		{name: "void_free", from: "draft", what: "free for every issuer when the signer is void", edits: []edit{
			{"verdict.go", "if err != nil {\n\t\t\tcontinue\n\t\t}\n\t\tif best == nil ||", `if err != nil {
			if i != nil && i.Grant.Line.Serial == st.Grant.Paper && s.endedBy(i) == nil && i.Grant.expired(s.now) == nil && i.Grant.mayGive(st.Grant) == nil {
				spare, spareBy = st, i
			}
			continue
		}
		if best == nil ||`},
			{"verdict.go", "best, by = st, i\n\t\t}\n\t}\n\treturn best, by", "best, by = st, i\n\t\t}\n\t}\n\tif best == nil {\n\t\treturn spare, spareBy\n\t}\n\treturn best, by"},
			{"verdict.go", "(best, by *Statement) {\n", "(best, by *Statement) {\n\tvar spare, spareBy *Statement\n"}}},
		{name: "names_first", from: "C7", what: "a name may be a peer ID", edits: []edit{{"grant.go", "if LooksLikePeer(name) || LooksLikeSerial(name) {", "if false {"}}},
		{name: "issued_in_time", from: "C8", what: "judged by the date of signing, not by now", edits: []edit{
			{"verdict.go", "i, err := s.issuer(g.By)\n\tswitch {\n\tcase err != nil:\n\t\treturn i", "i, err := s.at(time.UnixMilli(g.Issued)).issuer(g.By)\n\tswitch {\n\tcase err != nil:\n\t\treturn i"}}},
		{name: "no_ask", from: "C9", what: "the sender does not ask its own view", edits: []edit{{"judge.go", "func (f *Fleet) MaySend(p peer.ID, connected bool) error {", "func (f *Fleet) MaySend(p peer.ID, connected bool) error {\n\tif true {\n\t\treturn nil\n\t}"}}},
		{name: "revoke_all", from: "M1", what: "every issuer revokes everybody", edits: []edit{{"set.go", "if s.live(r) && (r.Signer == s.root || r.Revocation.forAll || g.Line.By == r.Signer) {", "if s.live(r) {"}}},
		{name: "no_sponsor", from: "L3", what: "no tie to the sender of put_ticket", edits: []edit{{"verdict.go", `if g.Sponsor == "" || !g.commands() {`, "if true {"}}},
		{name: "late_revocations", from: "draft", what: "late revocations of an ended signer are not heard", edits: []edit{{"set.go", "kept bool) (bool, error) {\n\tif !kept {\n",
			"kept bool) (bool, error) {\n\tif i := highest(s.issuers[st.Signer]); st.Signer != s.root && i != nil && s.endedBy(i) != nil {\n\t\treturn false, nil\n\t}\n\tif !kept {\n"}}},
		{name: "lift_revives", from: "model", what: "a lift brings a signer and its works back", edits: []edit{
			{"set.go", "if r.Signer == s.root && !slices.Contains(st.Grant.Despite, r.ID) {", "if r.Signer == s.root && s.live(r) && !slices.Contains(st.Grant.Despite, r.ID) {"},
			{"verdict.go", "case i.Grant.Line.Serial != g.Paper:", "case false:"}}},
		{name: "not_before", from: "C2", what: "a paper is refused before its date", edits: []edit{{"grant.go", "if at := now.UnixMilli(); at >= g.Expires {", "if at := now.UnixMilli(); at >= g.Expires || at < g.Issued-3_600_000 {"}}},
	}
}

func flawsOfMemory() []flaw {
	return []flaw{
		{name: "floor_any", from: "L4", what: "any signer moves the floor by a day", edits: []edit{
			{"memory.go", "if st.Signer == m.root {", "if st.Signer == m.root || st.Grant != nil {"},
			{"../../internal/statements/floor.go", "if signed.After(clock) && sane {\n\t\tsigned = clock", "if signed.After(clock.Add(24 * time.Hour)) && sane {\n\t\tsigned = clock.Add(24 * time.Hour)"}}},
		{name: "fail_open", from: "case 9", what: "a lost file forgets revocations", edits: []edit{{"disk.go", "if n := len(m.missing); n > 0 {", "if n := len(m.missing); n < 0 {"}}},
		{name: "compact_by_clock", from: "draft", what: "revocations are compacted by the own clock", edits: []edit{{"memory.go", "if news {\n\t\tm.changes++", `for t, list := range m.set.revs {
		count, ended := 0, true
		for _, g := range m.set.all {
			if g.Grant != nil && (g.Grant.Subject == t.peer || g.Grant.Line == t.line) {
				count++
				ended = ended && g.Grant.expired(now) != nil
			}
		}
		for _, r := range list {
			if count > 0 && ended {
				delete(m.set.all, r.ID)
				delete(m.set.revs, t)
			}
		}
	}
	if news {
		m.changes++`}}},
		{name: "tls_clock", from: "case 1", what: "clocks cut connections", not: "this package opens no connections: the transports are tested with real processes"},
	}
}

// flawsFound are those that the histories found in this package.
func flawsFound() []flaw {
	return []flaw{
		{name: "made_up_evidence", from: "found", what: "issuers are thrown out with evidence that a thief made up", edits: []edit{
			{"verdict.go", "if _, ended := s.issuer(p); ended == nil {\n\t\treturn nil\n\t}\n\treturn s.peerRevoked(p)", "return s.peerRevoked(p)"}}},
		{name: "origin_by_peer", from: "found", what: "a reinstated signer confirms what was made before", rare: true, edits: []edit{
			{"verdict.go", "return err != nil || i.Grant.Line.Serial != o.Paper", "return err != nil && i != nil || err != nil"}}},
		{name: "other_paper", from: "found", what: "beside a revoked paper another is signed anew", edits: []edit{
			{"decide.go", "if !s.by.gave(g) && g.By != s.root && slices.ContainsFunc(", "if false && slices.ContainsFunc("}}},
		{name: "index_cut", from: "found", what: "an index that was cut is not written anew", edits: []edit{{"disk.go", "indexDamaged || short || m.untold", "indexDamaged || short && false || m.untold"}}},
		{name: "closed_missed", from: "found", what: "what a closed book holds is missed at the next start", edits: []edit{{"set.go", "if !kept {\n\t\tif s.over(st) {", "if true {\n\t\tif s.over(st) {"}}},
		{name: "alone_paper", from: "found", what: "a grant travels without that of its signer",
			not: "it takes 50,000 histories: TestPapersTravel shows it"},
		{name: "missing_untold", from: "found", what: "what is missing is not noted in the other file", edits: []edit{{"disk.go", "short || m.untold(c.Missing) ||", "short ||"}}},
	}
}

// changed returns the files that the flaw is in, with it.
func (f flaw) changed(t *testing.T) map[string]string {
	t.Helper()
	changed := map[string]string{}
	for _, e := range f.edits {
		text, begun := changed[e.file]
		if !begun {
			data, err := os.ReadFile(e.file)
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s: the text %q stands %d times in %s, want once", f.name, e.old, n, e.file)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed
}

// TestFlawsHaveTheirPlace: each text that a flaw replaces stands where the table says. TestMutants,
// which puts them back, is in the slow set.
func TestFlawsHaveTheirPlace(t *testing.T) {
	for _, f := range flaws() {
		t.Run(f.name, func(t *testing.T) { f.changed(t) })
	}
}
