package output

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Unknown stands for a value that is not known.
const Unknown = "-"

// HashRate formats hashes per second in the usual unit.
func HashRate(h *float64) string {
	if h == nil {
		return Unknown
	}
	v := *h
	for _, unit := range []string{"H/s", "kH/s", "MH/s", "GH/s", "TH/s"} {
		if v < 1000 || unit == "TH/s" {
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1000
	}
	return Unknown
}

// Share formats part of whole in percent.
func Share(part, whole *uint64) string {
	if part == nil || whole == nil || *whole == 0 {
		return Unknown
	}
	return fmt.Sprintf("%.0f%%", 100*float64(*part)/float64(*whole))
}

// Percent formats v in percent.
func Percent(v *float64) string {
	if v == nil {
		return Unknown
	}
	return fmt.Sprintf("%.0f%%", *v)
}

// Optional formats a number, or Unknown for nil.
func Optional(format string, v *float64) string {
	if v == nil {
		return Unknown
	}
	return fmt.Sprintf(format, *v)
}

// Count is a number with its noun: "1 machine", "2 machines".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// Number formats a number, or Unknown for nil.
func Number[T any](v *T) string {
	if v == nil {
		return Unknown
	}
	return fmt.Sprint(*v)
}

// Text returns a text, or Unknown for nil.
func Text(s *string) string {
	if s == nil {
		return Unknown
	}
	return *s
}

// Seconds formats a duration in its two largest units.
func Seconds(s float64) string {
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

// Size formats a number of bytes in a binary unit.
func Size(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 || unit == "GiB" {
			return fmt.Sprintf("%.4g %s", v, unit)
		}
		v /= 1024
	}
	return Unknown
}

// Since formats how long ago a time in Unix milliseconds was; a time of 0 is Unknown.
func Since(ms int64) string {
	if ms <= 0 {
		return Unknown
	}
	return Seconds(time.Since(time.UnixMilli(ms)).Seconds())
}

// Day formats the date of t in UTC.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// OrDash returns s, or Unknown if it is empty.
func OrDash(s string) string {
	if s == "" {
		return Unknown
	}
	return s
}

// Quoted returns s in quotes, or Unknown if it is empty.
func Quoted(s string) string {
	if s == "" {
		return Unknown
	}
	return fmt.Sprintf("%q", s)
}

// Labels formats labels as KEY=VALUE, sorted and joined by commas, or Unknown if there are none.
func Labels(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return OrDash(strings.Join(out, ","))
}
