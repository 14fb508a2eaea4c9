package control

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
)

// The verbs of the socket.
var (
	execVerb    = endpoint[execRequest, execLine]{path: "/v1/exec"}
	watchVerb   = endpoint[agent.Selection, agent.Pushed]{path: "/v1/watch", member: "pushed"}
	deliverVerb = endpoint[agent.News, agent.Delivery]{path: "/v1/deliver", member: "delivery"}
	addrsVerb   = endpoint[struct{}, []string]{path: "/v1/addrs", member: "addrs"}
	peersVerb   = endpoint[peersRequest, agent.PeerLine]{path: "/v1/peers", member: "peer"}
	eventsVerb  = endpoint[struct{}, agent.Event]{path: "/v1/events", member: "event"}
	selfVerb    = endpoint[struct{}, agent.Self]{path: "/v1/self", member: "self"}
)

type peersRequest struct {
	Try time.Duration `json:"tryMs,omitzero"`
}

// execRequest is a job. The other end opens the bundle itself.
type execRequest struct {
	Operation  string          `json:"operation"`
	Payload    jsontext.Value  `json:"payload,omitzero"`
	Bundle     string          `json:"bundle,omitzero"` // absolute path
	BundleName string          `json:"bundleName,omitzero"`
	Timeout    time.Duration   `json:"timeoutMs"`
	Selection  agent.Selection `json:"selection"`
}

// execLine is one line of the answer: one of its parts is set.
type execLine struct {
	Result   *agent.Result  `json:"result,omitzero"`
	Progress *progress      `json:"progress,omitzero"`
	Summary  *agent.Summary `json:"summary,omitzero"` // the last line
}

// progress is how much of an upload a machine was sent.
type progress struct {
	Target agent.Target `json:"target"`
	Sent   int64        `json:"sent"`
	Total  int64        `json:"total"`
}

func requestOf(j agent.Job, s agent.Selection) execRequest {
	r := execRequest{Operation: j.Operation.Name(), Payload: j.Payload, Timeout: j.Timeout, Selection: s}
	if j.Bundle != nil {
		r.Bundle, r.BundleName = j.Bundle.Source(), j.Bundle.Manifest.Name
	}
	return r
}

func (r execRequest) job() (j agent.Job, err error) {
	if j.Operation, err = agent.Operations().Find(r.Operation); err != nil {
		return j, err
	}
	j.Payload, j.Timeout = r.Payload, r.Timeout
	if j.Operation.Shape == streams.ShapeUpload {
		j.Bundle, err = deploy.Open(r.Bundle, r.BundleName, 0)
	}
	return j, err
}
