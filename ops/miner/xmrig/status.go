package xmrig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

const (
	// answerTime is how long XMRig may take to answer.
	answerTime = 2 * time.Second
	// startTime is how long after Render the interface may be missing; it usually takes a second.
	startTime = 30 * time.Second
	// maxAnswer bounds an answer in bytes; one for a few hundred threads takes some ten thousand.
	maxAnswer = 1 << 20
)

// summary is what we read of GET /2/summary. Everything may be null or missing.
type summary struct {
	Algorithm *string `json:"algo"`
	Paused    bool    `json:"paused"`
	Results   struct {
		Good  *int64 `json:"shares_good"`
		Total *int64 `json:"shares_total"`
	} `json:"results"`
	Connection struct {
		Pool     string  `json:"pool"`
		Uptime   float64 `json:"uptime"`
		Rejected *int64  `json:"rejected"`
		Failures int64   `json:"failures"`
	} `json:"connection"`
	HashRate struct {
		Total []*float64 `json:"total"` // over 10 s, 60 s, 15 min
	} `json:"hashrate"`
}

// Status asks XMRig. While its interface is not there yet it is starting, for a while.
func (a *Adapter) Status(ctx context.Context, dir string) (miner.Status, error) {
	h, rendered, err := readHTTP(filepath.Join(dir, configFile))
	if err != nil {
		return miner.Status{State: miner.Degraded}, err
	}
	b, err := h.get(ctx, "/2/summary")
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && time.Since(rendered) < startTime {
		return miner.Status{State: miner.Starting}, nil
	}
	if err != nil {
		return miner.Status{State: miner.Degraded}, err
	}
	s, err := parseSummary(b)
	if err != nil {
		return miner.Status{State: miner.Degraded}, err
	}
	return s.status(), nil
}

func parseSummary(b []byte) (summary, error) {
	var s summary
	if err := json.Unmarshal(b, &s); err != nil {
		return summary{}, fmt.Errorf("read xmrig's summary: %w", err)
	}
	return s, nil
}

func (s summary) status() miner.Status {
	st := miner.Status{
		State: s.state(), HashRate: s.hashRate(), SharesAccepted: s.Results.Good, SharesRejected: s.rejected(),
		Pool: s.Connection.Pool,
	}
	if s.Algorithm != nil {
		st.Algorithm = *s.Algorithm
	}
	return st
}

func (s summary) state() miner.State {
	switch rate := s.hashRate(); {
	case s.Paused:
		return miner.Paused
	case s.Connection.Uptime <= 0 && s.Connection.Failures > 0:
		return miner.Degraded
	case rate == nil || *rate <= 0:
		return miner.Warming
	case s.Connection.Uptime <= 0:
		return miner.Degraded // it hashes what nobody will take
	}
	return miner.Mining
}

// hashRate is the one over the shortest time that is known.
func (s summary) hashRate() *float64 {
	for _, rate := range s.HashRate.Total {
		if rate != nil {
			return rate
		}
	}
	return nil
}

func (s summary) rejected() *int64 {
	if s.Results.Good == nil || s.Results.Total == nil {
		return s.Connection.Rejected
	}
	n := *s.Results.Total - *s.Results.Good
	return &n
}

// readHTTP reads back where the interface is, and when Render has written that.
func readHTTP(path string) (h httpAPI, rendered time.Time, err error) {
	f, err := durable.Open(path)
	if err != nil {
		return httpAPI{}, time.Time{}, fmt.Errorf("read xmrig config: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return httpAPI{}, time.Time{}, fmt.Errorf("read xmrig config: %w", err)
	}
	b, err := durable.ReadAll(f, path, maxAnswer)
	if err != nil {
		return httpAPI{}, time.Time{}, fmt.Errorf("read xmrig config: %w", err)
	}
	var c struct {
		HTTP httpAPI `json:"http"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return httpAPI{}, time.Time{}, fmt.Errorf("read xmrig config: %w", err)
	}
	return c.HTTP, info.ModTime(), nil
}

// get asks the interface. The connection is not kept: the next process has another port.
func (h httpAPI) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	url := "http://" + net.JoinHostPort(h.Host, strconv.Itoa(h.Port)) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask xmrig: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+h.Token)
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // no proxy either
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask xmrig: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("xmrig answers %s", res.Status)
	}
	return durable.ReadAll(res.Body, "xmrig's answer", maxAnswer)
}
