package agent

import "testing"

func TestNetConfig(t *testing.T) {
	for _, bad := range []NetConfig{
		{AllowNets: []string{"10.0.0.0/33"}}, {DenyNets: []string{"home"}}, {External: []string{"192.0.2.1"}},
		{NetworkKey: "/nowhere"}, {FleetSize: -1}, {MaxPeers: -1},
	} {
		if _, err := NewRelay(RelayConfig{StateDir: t.TempDir(), Net: bad}); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	nets, err := parseNets([]string{"10.1.2.3/8", "192.0.2.7", "fd00::1"})
	if err != nil || nets[0].String() != "10.0.0.0/8" || nets[1].String() != "192.0.2.7/32" || nets[2].String() != "fd00::1/128" {
		t.Errorf("%v, %v", nets, err)
	}
}
