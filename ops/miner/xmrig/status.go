package xmrig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

var errNoSuchPath = errors.New("xmrig answers 404 Not Found")

// Status asks XMRig. While its interface is not there yet it is starting, for a while.
func (a *Adapter) Status(ctx context.Context, dir string) (miner.Status, error) {
	h, rendered, err := readHTTP(filepath.Join(dir, configFile))
	if err != nil {
		return miner.Status{State: miner.Degraded}, err
	}
	s, err := h.summary(ctx)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && time.Since(rendered) < startTime {
		return miner.Status{State: miner.Starting}, nil
	}
	if err != nil && s.rate == nil {
		s.rate = h.rate(ctx)
	}
	st := s.status()
	if err != nil && s.rate == nil {
		st.State, st.Reason = miner.Degraded, ""
		return st, err
	}
	return st, nil
}

// summary asks for it. What came of an answer that is cut off is read.
func (h httpAPI) summary(ctx context.Context) (summary, error) {
	b, err := h.get(ctx, "/2/summary")
	if errors.Is(err, errNoSuchPath) { // XMRig 2 to 5.4
		b, err = h.get(ctx, "/1/summary")
	}
	if err != nil && len(b) == 0 {
		return summary{connected: true}, err
	}
	s, wrong := parseSummary(b)
	return s, cmp.Or(wrong, err)
}

// rate asks the backends, nil when they do not tell.
func (h httpAPI) rate(ctx context.Context) *float64 {
	b, err := h.get(ctx, "/2/backends")
	if err != nil {
		return nil
	}
	return rateOfBackends(b)
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

// get asks the interface, for maxAnswer bytes at most. With an error it may return a part. The connection is not kept: the next process has another port.
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
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errNoSuchPath
	default:
		return nil, fmt.Errorf("xmrig answers %s", res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		err = fmt.Errorf("xmrig's answer is cut off: %w", err)
	}
	return b, err
}
