package main

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// print writes v as a line of JSON with --json, and calls text otherwise.
func (a *app) print(v any, text func() error) error {
	if !a.json {
		return text()
	}
	return a.printJSON(v)
}

func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(escapeJSON(b), '\n'))
	return err
}

// unknown stands for a number that is not known.
const unknown = "-"

// hashRate returns hashes per second in the usual units.
func hashRate(h *float64) string {
	if h == nil {
		return unknown
	}
	v := *h
	for _, unit := range []string{"H/s", "kH/s", "MH/s", "GH/s", "TH/s"} {
		if v < 1000 || unit == "TH/s" {
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1000
	}
	return unknown
}

// share returns the part in percent.
func share(part, whole *uint64) string {
	if part == nil || whole == nil || *whole == 0 {
		return unknown
	}
	return fmt.Sprintf("%.0f%%", 100*float64(*part)/float64(*whole))
}

func percent(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%.0f%%", *v)
}

func number[T any](v *T) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprint(*v)
}

// seconds returns a duration in its two largest units.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// size returns bytes in binary units.
func size(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 || unit == "GiB" {
			return fmt.Sprintf("%.4g %s", v, unit)
		}
		v /= 1024
	}
	return unknown
}
