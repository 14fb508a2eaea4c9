// Package deploy moves a bundle to a worker and puts it in place, or leaves things as they were.
//
// A bundle is a directory or a file. Its manifest names every file with its size and hash; the
// bytes follow in one upload. The worker stages and verifies them, and only then switches, in one
// step:
//
//	bundle, err := deploy.Open("./miner", "", 0)
//	if err != nil {
//		return err
//	}
//	ack, err := deploy.Sending{}.Send(ctx, client, worker, bundle)
//	fmt.Println(ack.Release, ack.State)
//
// On the worker, which has to be allowed to by its owner:
//
//	store, err := deploy.OpenStore(deploy.StoreConfig{Dir: filepath.Join(state, "deploy")})
//	if err != nil {
//		return err
//	}
//	err = deploy.Deploy.Handle(mux, deploy.Handler(store))
//
// When the connection is lost Send goes on over the next one. What has arrived is kept for that, for
// StagedFor; Store.Run removes it. A deployment "miner" is then found below <state>/deploy/miner/current, see Store.Current.
package deploy

import (
	"context"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// DefaultMaxBytes is the largest bundle, unless the owner says otherwise: 1 GiB.
const DefaultMaxBytes = 1 << 30

// LeastRate is how many bytes of an upload have to arrive in a second, on average after the first
// half a minute.
const LeastRate = 1 << 10

// VerbDeploy is the right to upload a bundle.
const VerbDeploy streams.Verb = "deploy"

// Family is the message family of this package.
var Family = streams.Family{Name: "deploy", Versions: []string{"1.0.0"}}

// Deploy uploads a bundle. Its errors: 400 a manifest that breaks the rules or a body that ends
// early, 409 another upload of the same name is under way, 413 too large, 429 too many under way,
// 408 too slow, 422 not enabled by the owner, no room, or a file whose hash is not the announced
// one, 503 what is here of an earlier upload is damaged and was removed. After every error the
// deployment is as it was.
var Deploy = streams.Upload[Request, Ack]{
	Family: Family, Request: "deploy", Reply: "deploy_ack", Verb: VerbDeploy,
}

// Request announces a bundle. The contents of its files follow, in the order of the manifest.
type Request struct {
	Manifest Manifest `json:"manifest"`
	// Size is the number of bytes that follow: the sum of the files' sizes, less From.
	Size int64 `json:"size"`
	// From is where in the contents these bytes begin: what is before is here from an earlier
	// upload. If it is not, nothing is done, and the answer has StatePartial.
	From int64 `json:"from,omitzero"`
	// Transfer, if not empty, names the deployment that this upload is a part of. Of one that is cut
	// off what has arrived is kept for a while. A next one with the same name, of the same sender,
	// takes the place of one that is still under way, or gets its answer if that was lost.
	Transfer string `json:"transfer,omitzero"`
}

const maxTransfer = 64 // bytes

// Summary says what is asked.
func (r Request) Summary() string {
	s := fmt.Sprintf("name=%s release=%s files=%d bytes=%d",
		r.Manifest.Name, r.Manifest.Release, len(r.Manifest.Files), r.Size)
	if r.From > 0 {
		s += fmt.Sprintf(" from=%d", r.From)
	}
	return s
}

// UploadSize is how many bytes follow.
func (r Request) UploadSize() int64 { return r.Size }

// Validate checks the manifest, and that the size fits it.
func (r Request) Validate() error {
	if err := r.Manifest.Validate(); err != nil {
		return err
	}
	switch size := r.Manifest.Size(); {
	case r.From < 0 || r.From > size:
		return streams.Errorf(streams.CodeInvalid, "from is %d, the files have %d bytes", r.From, size)
	case r.Size != size-r.From:
		return streams.Errorf(streams.CodeInvalid, "size is %d, the files have %d bytes from %d on", r.Size, size-r.From, r.From)
	case len(r.Transfer) > maxTransfer || r.From > 0 && r.Transfer == "":
		return streams.Errorf(streams.CodeInvalid, "transfer has %d bytes: want 1 to %d", len(r.Transfer), maxTransfer)
	}
	return nil
}

// State says what a deployment did.
type State string

// What a deployment did.
const (
	StateDeployed  State = "deployed"  // the bundle was uploaded and is current now
	StateSwitched  State = "switched"  // the worker had this release from before and made it current again
	StateUnchanged State = "unchanged" // this release was current already
	StatePartial   State = "partial"   // nothing was done: the upload has to begin at another place
)

// Ack tells what a worker did.
type Ack struct {
	Name    string `json:"name"`
	Success bool   `json:"success"`
	// Release is the current one now.
	Release string `json:"release"`
	// Previous was the current one before; empty when there was none.
	Previous string `json:"previous"`
	// Bytes is how many were taken from the upload.
	Bytes int64 `json:"bytes"`
	State State `json:"state"`
	// Staged is how much of the contents is here from earlier uploads, with StatePartial.
	Staged int64 `json:"staged,omitzero"`
}

// Receiver is what a worker offers to be deployed to. Store is one.
type Receiver interface {
	// Receive puts the bundle of a request in place, the rest of whose contents is read from body,
	// or fails and leaves things as they were.
	Receive(ctx context.Context, p peer.ID, r Request, body io.Reader) (Ack, error)
}

// Handler returns the handler of [Deploy], which has r put bundles in place. A nil Receiver means
// that the owner has not enabled deployments: then every one is refused with 422.
func Handler(r Receiver) func(context.Context, streams.Peer, Request, io.Reader) (Ack, error) {
	under := new(uploads)
	return func(ctx context.Context, p streams.Peer, req Request, body io.Reader) (Ack, error) {
		if r == nil {
			return Ack{}, streams.Errorf(streams.CodeRefused, "deployments are not enabled on this machine")
		}
		if err := under.begin(p.ID); err != nil {
			return Ack{}, err
		}
		defer under.end(p.ID)
		return r.Receive(ctx, p.ID, req, body)
	}
}
