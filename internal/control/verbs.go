package control

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/diagnose"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// The verbs of the socket.
var (
	helloVerb   = endpoint[struct{}, struct{}]{path: "/v1/hello", member: "hello"}
	execVerb    = endpoint[execRequest, execLine]{path: "/v1/exec"}
	inputVerb   = endpoint[inputRequest, struct{}]{path: "/v1/input", member: "taken"}
	watchVerb   = endpoint[agent.Selection, agent.Pushed]{path: "/v1/watch", member: "pushed"}
	deliverVerb = endpoint[agent.News, agent.Delivery]{path: "/v1/deliver", member: "delivery"}
	addrsVerb   = endpoint[struct{}, []string]{path: "/v1/addrs", member: "addrs"}
	peersVerb   = endpoint[peersRequest, agent.PeerLine]{path: "/v1/peers", member: "peer"}
	forwardVerb = endpoint[agent.Forwarding, agent.ForwardEvent]{path: "/v1/forward", member: "forward"}
	copyVerb    = endpoint[agent.Copy, agent.CopyEvent]{path: "/v1/copy", member: "copy"}
	eventsVerb  = endpoint[eventsRequest, agent.Event]{path: "/v1/events", member: "event"}
	examineVerb = endpoint[examineRequest, diagnose.Diagnosis]{path: "/v1/examine", member: "diagnosis"}
	selfVerb    = endpoint[struct{}, agent.Self]{path: "/v1/self", member: "self"}
)

type peersRequest struct {
	Try time.Duration `json:"tryMs,omitzero"`
}

// examineRequest is for a machine, or for this one where there is no name.
type examineRequest struct {
	Name    string        `json:"name,omitzero"`
	Timeout time.Duration `json:"timeoutMs"`
}

// execRequest is a job. The other end opens the bundle itself.
type execRequest struct {
	Operation  string          `json:"operation"`
	Payload    jsontext.Value  `json:"payload,omitzero"`
	Bundle     string          `json:"bundle,omitzero"` // absolute path
	BundleName string          `json:"bundleName,omitzero"`
	Timeout    time.Duration   `json:"timeoutMs"`
	Selection  agent.Selection `json:"selection"`
	// Release is what the bundle is to have in it, Transfer names the deployment, and Resumes are the
	// machines that the job goes on with, see [agent.Job].
	Release  string    `json:"release,omitzero"`
	Transfer string    `json:"transfer,omitzero"`
	Resumes  []resumes `json:"resumes,omitzero"`
	// Talk names the job for the inputs that follow, and Input says that there is standard input among
	// them.
	Talk  string `json:"talk,omitzero"`
	Input bool   `json:"input,omitzero"`
	// Sizes says that the command has a terminal, and that sizes of it are among the inputs.
	Sizes bool `json:"sizes,omitzero"`
}

// inputRequest is for a job that runs: a piece of standard input, its end, the size of the terminal, or the
// wish to stop.
type inputRequest struct {
	Talk string    `json:"talk"`
	Data []byte    `json:"data,omitzero"`
	End  bool      `json:"end,omitzero"`
	Stop bool      `json:"stop,omitzero"`
	Size *run.Size `json:"size,omitzero"`
}

// resumes is a machine that a job goes on with.
type resumes struct {
	Peer    peer.ID        `json:"peer"`
	Payload jsontext.Value `json:"payload,omitzero"`
}

// eventsRequest asks for what happens from now on, or where another controller was listened to
// before, for how it stands by now as well.
type eventsRequest struct {
	SoFar bool `json:"soFar,omitzero"`
}

// execLine is one line of the answer: one of its parts is set.
type execLine struct {
	Result   *agent.Result  `json:"result,omitzero"`
	Progress *progress      `json:"progress,omitzero"`
	Asked    *agent.Target  `json:"asked,omitzero"`   // a machine that is asked from now on
	Chosen   bool           `json:"chosen,omitzero"`  // there are no others
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
		r.Bundle, r.BundleName, r.Release = j.Bundle.Source(), j.Bundle.Manifest.Name, j.Bundle.Manifest.Release
	}
	return r
}

func (r execRequest) job() (j agent.Job, err error) {
	if j.Operation, err = agent.Operations().Find(r.Operation); err != nil {
		return j, err
	}
	j.Payload, j.Timeout, j.Transfer = r.Payload, r.Timeout, r.Transfer
	for _, m := range r.Resumes {
		if j.Resumes == nil {
			j.Resumes = make(map[peer.ID]jsontext.Value)
		}
		j.Resumes[m.Peer] = m.Payload
	}
	if j.Operation.Shape != streams.ShapeUpload {
		return j, nil
	}
	if j.Bundle, err = deploy.Open(r.Bundle, r.BundleName, 0); err != nil {
		return j, err
	}
	if r.Release != "" && j.Bundle.Manifest.Release != r.Release {
		return j, fmt.Errorf("%s has changed since it was read", r.Bundle)
	}
	return j, nil
}
