package signing

import (
	"bytes"
	"testing"
	"time"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/output"
)

// The rights of members stand in the table in words, those for a while with their end.
func TestListMembers(t *testing.T) {
	until := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	soon := time.Now().Add(8*time.Hour + 30*time.Second).UnixMilli()
	members := []Member{
		{Name: "laptop", Role: "issuer", State: "member", Verbs: []string{"*", "admit", "grant", "revoke"}, Expires: until, Self: true},
		{Name: "friend", Role: "viewer", State: "member", Verbs: []string{"*.read"}, Expires: until, Also: []trust.Right{
			{Verbs: []string{"miner.control", "deploy"}, On: "site=cabin", Expires: soon}, {Verbs: []string{"run"}, Expires: 1},
		}},
		{Name: "rig-01", Role: "worker", State: "expired", Expires: until, Labels: map[string]string{"gpu": "3080"}},
		{Name: "guest", Role: "worker", State: "member", Expires: until, Also: []trust.Right{{Verbs: []string{"x.y"}}}},
	}
	var out bytes.Buffer
	if err := ListMembers(output.New(&out), false, members); err != nil {
		t.Fatal(err)
	}
	const want = `NAME    ROLE    STATE    RIGHTS                                           UNTIL       LABELS    LAST SEEN     PEER
laptop  issuer  member   everything                                       2030-01-02  -         this machine
friend  viewer  member   read everything                                  2030-01-02  -         -
                         and start and stop miners, deploy on site=cabin  in 8h00m
                         and run commands                                 has ended
rig-01  worker  expired  none                                             2030-01-02  gpu=3080  -
guest   worker  member   x.y                                              2030-01-02  -         -
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
