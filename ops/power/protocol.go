package power

import (
	"fmt"

	"github.com/seed-b490fa12/swarm/streams"
)

// The rights that the message types need.
const (
	// VerbPower is the right to reboot a machine and to shut it down.
	VerbPower streams.Verb = "power"
	// VerbStatsRead is the right to see how a machine stands.
	VerbStatsRead streams.Verb = "stats.read"
)

// Family returns the family of power.
func Family() streams.Family { return streams.Family{Name: "power", Versions: []string{"1.0.0"}} }

var (
	// Power reboots a machine or shuts it down. The answer comes before that, and the request has no
	// second effect when it is repeated, also after the boot.
	Power = streams.Call[Request, Ack]{Family: Family(), Request: "power", Reply: "power_ack", Verb: VerbPower}
	// GetPower asks what has become of it. It is refused where Power is.
	GetPower = streams.Call[StateRequest, State]{
		Family: Family(), Request: "get_power", Reply: "power_state", Verb: VerbStatsRead,
	}
)

// Action is what is done to a machine.
type Action string

// The actions.
const (
	Reboot   Action = "reboot"
	Shutdown Action = "shutdown" // it stays off until somebody switches it on
)

// Actions lists them.
func Actions() []Action { return []Action{Reboot, Shutdown} }

// Request asks for an action.
type Request struct {
	Action Action `json:"action"`
}

// Summary is what is recorded of the request.
func (r Request) Summary() string { return "action=" + string(r.Action) }

// Validate checks the action.
func (r Request) Validate() error {
	if r.Action != Reboot && r.Action != Shutdown {
		return fmt.Errorf("action %.40q: want %s or %s", r.Action, Reboot, Shutdown)
	}
	return nil
}

// Ack says that the machine is about to do it.
type Ack struct {
	Action Action `json:"action"`
	// Boot names the run of the system that is about to end; another one begins with the next boot.
	Boot string `json:"bootId"`
}

// StateRequest asks for [State]. It is an empty object.
type StateRequest struct{}

// State is how a machine stands.
type State struct {
	Boot string `json:"bootId"` // as that of Ack
	// Action is what is being done; left out when nothing is.
	Action Action `json:"action,omitzero"`
	// Failed says why the last action was not done; left out when it was, and when there was none.
	Failed string `json:"failed,omitzero"`
}
