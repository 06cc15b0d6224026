package block

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as "250ms", "24h", "30d" or "2w".
type Duration struct{ time.Duration }

// UnmarshalText reads Go's syntax, and whole or fractional days and weeks. It
// refuses negative durations.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	d.Duration = v
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration such as \"250ms\", \"5m\", \"24h\", \"30d\" or \"2w\"", s)
	day := 24 * time.Hour
	for unit, size := range map[string]time.Duration{"d": day, "w": 7 * day} {
		n, ok := strings.CutSuffix(s, unit)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(n, 64)
		if err != nil || f < 0 || f*float64(size) >= math.MaxInt64 || strings.ContainsAny(n, "eEnNxXpP+") {
			return 0, bad
		}
		return time.Duration(f * float64(size)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, bad
	}
	return d, nil
}

// Size is a number of bytes written as "512B", "64KiB", "1MiB" or "2GiB".
type Size int64

// UnmarshalText reads a number and its unit.
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range []struct {
		name string
		size int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || int64(n) > math.MaxInt64/u.size {
			break
		}
		*s = Size(int64(n) * u.size)
		return nil
	}
	return fmt.Errorf("%q is not a size such as \"512B\", \"64KiB\", \"1MiB\" or \"2GiB\"", text)
}

func (s Size) String() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.size && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Rate is a number of events in a unit of time, written as "100/s", "60/m",
// "5000/h" or "10/d".
type Rate struct {
	N   float64
	Per time.Duration
}

// UnmarshalText reads a positive number and its unit.
func (r *Rate) UnmarshalText(text []byte) error {
	n, unit, _ := strings.Cut(string(text), "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[unit]
	f, err := strconv.ParseFloat(n, 64)
	if err != nil || per == 0 || !(f > 0) || math.IsInf(f, 0) {
		return fmt.Errorf("%q is not a rate such as \"100/s\", \"60/m\", \"5000/h\" or \"10/d\"", text)
	}
	r.N, r.Per = f, per
	return nil
}

// PerSecond is the rate in events a second.
func (r Rate) PerSecond() float64 { return r.N / r.Per.Seconds() }

func (r Rate) String() string {
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h", 24 * time.Hour: "d"}[r.Per]
	return strconv.FormatFloat(r.N, 'f', -1, 64) + "/" + unit
}

// Path is a path in the file system. A relative one is relative to the folder
// of the file in which it is written.
type Path string
