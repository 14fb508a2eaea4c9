package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	twinFile  = "twin"
	twinLook  = time.Second     // between looks whether another machine has our identity
	twinWrite = time.Minute     // between writes while it has
	twinStale = 4 * time.Minute // then the file is one that a killed program left behind
	maxTwin   = 4 << 10         // bytes of the file
)

// twinMark is what the file says while another machine runs with this node's identity.
type twinMark struct {
	Seen  int64  `json:"seen"` // Unix ms
	Words string `json:"words"`
}

// watchTwin keeps the file for "swarm status" until ctx ends, and says when another machine came,
// and when it was gone.
func watchTwin(
	ctx context.Context, n *node.Node, stateDir string, log *slog.Logger, changed func(twins.Twin, bool),
) error {
	path := filepath.Join(stateDir, twinFile)
	remove := func() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Warn("that another machine had this identity is shown for a while longer", "err", err)
		}
	}
	remove() // what a killed program left behind
	defer remove()
	tick := time.NewTicker(twinLook)
	defer tick.Stop()
	there, written := false, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		t, is := n.Twin(n.ID())
		if is != there {
			there, written = is, time.Time{}
			changed(t, is)
			if !is {
				remove()
			}
		}
		if there && time.Since(written) > twinWrite {
			written = time.Now()
			if err := writeTwin(path, t); err != nil {
				log.Warn("that another machine has this identity is not shown by: swarm status", "err", err)
			}
		}
	}
}

func writeTwin(path string, t twins.Twin) error {
	data, err := json.Marshal(twinMark{time.Now().UnixMilli(), t.Words()})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

// TwinWarning says that another machine runs with the identity in a state directory, as the program
// that runs with it there has seen lately; nothing where it has not.
func TwinWarning(stateDir string) string {
	path := filepath.Join(stateDir, twinFile)
	data, err := durable.ReadFile(path, maxTwin)
	if err != nil {
		return ""
	}
	var m twinMark
	if err := json.Unmarshal(data, &m); err != nil || time.Since(time.UnixMilli(m.Seen)).Abs() > twinStale {
		return ""
	}
	return m.Words
}
