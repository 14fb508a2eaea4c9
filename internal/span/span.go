// Package span reads durations as people write them: those of Go, and days and weeks.
package span

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Day and Week are of 24 hours each, whatever a calendar says.
const (
	Day  = 24 * time.Hour
	Week = 7 * Day
)

// Parse reads a duration such as 90s, 1h30m, 7d, 2w or 1d12h.
func Parse(text string) (time.Duration, error) {
	rest := strings.TrimSpace(text)
	sign := time.Duration(1)
	if after, ok := strings.CutPrefix(rest, "-"); ok {
		rest, sign = after, -1
	}
	var sum time.Duration
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"w", Week}, {"d", Day}} {
		number, after, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !(n >= 0) || n*float64(unit.size) > float64(math.MaxInt64/4) {
			return 0, wrong(text)
		}
		sum += time.Duration(n * float64(unit.size))
		rest = after
		if rest == "" {
			return sign * sum, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64/4 {
		return 0, wrong(text)
	}
	return sign * (sum + d), nil
}

func wrong(text string) error {
	if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
		return fmt.Errorf("%d of which unit? Want for example %[1]ds, %[1]dm, %[1]dh or %[1]dd", n)
	}
	return errors.New("want a duration such as 30s, 15m, 12h, 7d or 2w")
}

// Var declares a flag that takes a duration.
func Var(f *pflag.FlagSet, at *time.Duration, name string, value time.Duration, usage string) {
	*at = value
	f.Var((*flag)(at), name, usage)
	if value == 0 {
		f.Lookup(name).DefValue = "0" // is not shown
	}
}

// flag is a duration as the value of a flag.
type flag time.Duration

func (v *flag) Set(text string) error {
	d, err := Parse(text)
	if err == nil {
		*v = flag(d)
	}
	return err
}

// Type is that of pflag's own durations, so that its FlagSet.GetDuration reads these, too.
func (v *flag) Type() string { return "duration" }

// String leaves out the units at the end that are zero: 24h, not 24h0m0s.
func (v *flag) String() string {
	text := time.Duration(*v).String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}
