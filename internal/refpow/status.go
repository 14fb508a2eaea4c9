package refpow

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

const (
	statusEvery = time.Second
	// rateWindow is how many samples the hash rate is taken over.
	rateWindow = 10
)

// status is the file by which the miner tells its agent how it goes.
type status struct {
	Time     int64       `json:"time"` // Unix ms when it was written
	State    miner.State `json:"state"`
	HashRate *float64    `json:"hashRate"` // hashes per second, null until it can be told
	Accepted int64       `json:"accepted"`
	Rejected int64       `json:"rejected"`
	Pool     string      `json:"pool"`
	Reason   string      `json:"reason,omitzero"` // why the state is no good one
}

func readStatus(path string) (status, error) {
	b, err := readSmall(path)
	if err != nil {
		return status{}, err
	}
	return parseStatus(b)
}

func parseStatus(b []byte) (status, error) {
	var s status
	if err := json.Unmarshal(b, &s); err != nil {
		return status{}, fmt.Errorf("read status: %w", err)
	}
	return s, nil
}

// keepStatus writes the status until ctx ends.
func (r *rig) keepStatus(ctx context.Context) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	samples := []sample{{time.Now(), 0}}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			samples = append(samples, sample{now, r.hashes.Load()})
			samples = samples[max(0, len(samples)-rateWindow):]
			if err := r.writeStatus(rate(samples)); err != nil {
				r.log.Print(err)
			}
		}
	}
}

// sample is the number of hashes done by a moment.
type sample struct {
	at     time.Time
	hashes uint64
}

// rate is the mean over the samples, nil while there is nothing to divide.
func rate(samples []sample) *float64 {
	first, last := samples[0], samples[len(samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.hashes == 0 {
		return nil
	}
	perSecond := float64(last.hashes-first.hashes) / seconds
	return &perSecond
}

// writeStatus replaces the file in one step, so that a reader never sees half of one. It is not
// synced: a status is worth nothing after a power cut.
func (r *rig) writeStatus(hashRate *float64) error {
	b, err := json.Marshal(status{
		Time: time.Now().UnixMilli(), State: r.stateWith(hashRate), HashRate: hashRate,
		Accepted: r.accepted.Load(), Rejected: r.rejected.Load(), Pool: r.pool.Address(),
		Reason: r.why(),
	})
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	temp := r.cfg.Status + ".new"
	if err := os.WriteFile(temp, b, 0o600); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	if err := os.Rename(temp, r.cfg.Status); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}

func (r *rig) why() string {
	reason, _ := r.reason.Load().(string)
	return reason
}

// stateWith tells mining from warming: mining is known by its hashes.
func (r *rig) stateWith(hashRate *float64) miner.State {
	state, ok := r.state.Load().(miner.State)
	switch {
	case !ok:
		return miner.Starting
	case state == miner.Mining && hashRate == nil:
		return miner.Warming
	}
	return state
}
