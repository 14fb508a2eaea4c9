package xmrig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

// summary is what we read of GET /2/summary. Each member is read by itself: the answers of versions
// 2.14 to 6.26 and of forks differ, and are cut off or damaged in places that nobody looks at.
type summary struct {
	algorithm       string
	paused          bool
	connected       bool // to a pool; also when nothing is said of it
	pool            string
	failures        int64
	lastError       string
	rate            *float64
	good, total     *int64 // shares
	accepts, denies *int64 // shares, as the connection counts them
}

// lenient takes a processor's name in Latin-1, and a member given twice.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// maxDepth is how deep the members stand that we read.
const maxDepth = 2

// parseSummary reads what there is. The error says why there is no more; without any member of a
// summary nothing is known.
func parseSummary(b []byte) (summary, error) {
	found, err := members(b)
	get := func(name string) jsontext.Value { return found[name] }
	s := summary{
		algorithm: text(get("algo")), paused: truth(get("paused")), pool: text(get("connection.pool")),
		good: count(get("results.shares_good")), total: count(get("results.shares_total")),
		accepts: count(get("connection.accepted")), denies: count(get("connection.rejected")),
		rate: rateOf(found), lastError: last(get("connection.error_log")),
	}
	if n := count(get("connection.failures")); n != nil {
		s.failures = *n
	}
	s.connected = connected(found)
	if err == nil && !known(found) {
		err = errors.New("no summary of xmrig's")
	}
	if err != nil {
		err = fmt.Errorf("read xmrig's summary: %w", err)
	}
	return s, err
}

func known(found map[string]jsontext.Value) bool {
	for name := range found {
		switch first, _, _ := strings.Cut(name, "."); first {
		case "algo", "paused", "connection", "results", "hashrate":
			return true
		}
	}
	return false
}

// connected reports whether XMRig has a pool: a version that tells no time of the connection is
// believed.
func connected(found map[string]jsontext.Value) bool {
	if c, ok := found["connection"]; ok && c.Kind() == 'n' {
		return false
	}
	for _, name := range []string{"connection.uptime", "connection.uptime_ms"} {
		if n := number(found[name]); n != nil {
			return *n > 0
		}
	}
	return true
}

// noNumber is what some builds write for a rate they do not know. It is no JSON.
var noNumber = regexp.MustCompile(`([:\[,]\s*)[-+]?(?i:nan|infinity|inf)\b`)

// members reads an object as far as it goes: the members of it and of the objects in it, by names
// such as "results.shares_good".
func members(b []byte) (map[string]jsontext.Value, error) {
	b = bytes.TrimPrefix(bytes.TrimSpace(b), []byte("\ufeff"))
	found := make(map[string]jsontext.Value)
	err := collect(jsontext.NewDecoder(bytes.NewReader(b), lenient), found, "", 0)
	if err != nil && noNumber.Match(b) {
		b = noNumber.ReplaceAll(b, []byte("${1}null"))
		err = collect(jsontext.NewDecoder(bytes.NewReader(b), lenient), found, "", 0)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it is cut off after %d bytes", len(b))
	}
	return found, err
}

func collect(d *jsontext.Decoder, found map[string]jsontext.Value, at string, depth int) error {
	if d.PeekKind() != '{' || depth > maxDepth {
		v, err := d.ReadValue()
		if err == nil && at != "" {
			found[at] = v.Clone()
		}
		return err
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if err := collect(d, found, strings.TrimPrefix(at+"."+name.String(), "."), depth+1); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// status is what the summary says.
func (s summary) status() miner.Status {
	st := miner.Status{
		Algorithm: s.algorithm, HashRate: s.rate, SharesAccepted: s.good, SharesRejected: s.rejected(), Pool: s.pool,
	}
	if st.SharesAccepted == nil {
		st.SharesAccepted = s.accepts
	}
	st.State = s.state()
	if st.State == miner.Degraded {
		st.Reason = s.noPool()
	}
	return st
}

func (s summary) state() miner.State {
	switch {
	case s.paused:
		return miner.Paused
	case !s.connected && s.failures > 0:
		return miner.Degraded
	case s.rate == nil || *s.rate <= 0:
		return miner.Warming
	case !s.connected:
		return miner.Degraded // it hashes what nobody will take
	}
	return miner.Mining
}

func (s summary) noPool() string {
	words := "not connected to a pool"
	if s.failures > 0 {
		words = fmt.Sprintf("%s, %d attempts failed", words, s.failures)
	}
	if s.lastError != "" {
		words += ": " + s.lastError
	}
	return words
}

func (s summary) rejected() *int64 {
	if s.good == nil || s.total == nil {
		return s.denies
	}
	n := max(0, *s.total-*s.good)
	return &n
}

// rateOf is the hash rate over the shortest time that is known: of all, or summed over the threads.
func rateOf(found map[string]jsontext.Value) *float64 {
	for _, name := range []string{"hashrate.total", "hashrate"} { // over 10 s, 60 s, 15 min
		if n := firstNumber(found[name]); n != nil {
			return n
		}
	}
	return sum(list(found["hashrate.threads"]))
}

// rateOfBackends reads GET /2/backends, for a summary that was cut off before its rate.
func rateOfBackends(b []byte) *float64 {
	var rates []jsontext.Value
	for _, backend := range list(b) {
		found, _ := members(backend)
		rates = append(rates, found["hashrate"])
	}
	return sum(rates)
}

// sum adds up rates; nil when none is known.
func sum(rates []jsontext.Value) (total *float64) {
	for _, v := range rates {
		if n := firstNumber(v); n != nil {
			if total == nil {
				total = new(float64)
			}
			*total += *n
		}
	}
	return total
}

func list(v jsontext.Value) (values []jsontext.Value) {
	if v.Kind() != '[' || json.Unmarshal(v, &values, lenient) != nil {
		return nil
	}
	return values
}

// firstNumber is the first one of a list, or a number alone.
func firstNumber(v jsontext.Value) *float64 {
	for _, v := range append(list(v), v) {
		if n := number(v); n != nil {
			return n
		}
	}
	return nil
}

func text(v jsontext.Value) (s string) {
	switch v.Kind() {
	case '"':
		_ = json.Unmarshal(v, &s, lenient)
	case '0':
		s = string(v)
	}
	return s
}

func truth(v jsontext.Value) bool {
	return v.Kind() == 't' || text(v) == "true" || text(v) == "1"
}

// number is one that is not negative, which may be written as text; nil when it is none.
func number(v jsontext.Value) *float64 {
	n, err := strconv.ParseFloat(strings.TrimSpace(text(v)), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return nil
	}
	return &n
}

func count(v jsontext.Value) *int64 {
	f := number(v)
	if f == nil || *f > 1<<53 {
		return nil
	}
	n := int64(*f)
	return &n
}

// last is the newest line of an error log.
func last(v jsontext.Value) string {
	lines := list(v)
	if len(lines) == 0 {
		return ""
	}
	return text(lines[len(lines)-1])
}
