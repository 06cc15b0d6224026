package backoff

import (
	"strings"
	"time"
)

// span is a unit in a text such as 1h30m, in seconds.
type span struct {
	name string
	long seconds
}

// The units of Go's durations and a day, as OpenAI writes them (6m0s, 20ms); and
// those of ISO 8601 before and after its T. A year has 365 days and a month 30: a
// wait that long is not waited for anyway.
var (
	clockUnits = []span{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"µs", 1e-6}, {"μs", 1e-6}, {"ns", 1e-9}}
	isoDays    = []span{{"Y", 365 * 86400}, {"M", 30 * 86400}, {"W", 7 * 86400}, {"D", 86400}}
	isoClock   = []span{{"H", 3600}, {"M", 60}, {"S", 1}}
)

// sum adds up numbers with a unit behind each: -?(DIGITS(.DIGITS)?UNIT)+, each
// unit once, from the longest to the shortest.
func sum(text string, units []span) (seconds, bool) {
	rest, minus := strings.CutPrefix(text, "-")
	total := seconds(0)
	for first := true; first || rest != ""; first = false {
		number := strings.IndexFunc(rest, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
		if number <= 0 {
			return 0, false
		}
		n, ok := parseSeconds(rest[:number])
		rest = rest[number:]
		name := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		if name < 0 {
			name = len(rest)
		}
		at := 0
		for at < len(units) && units[at].name != rest[:name] {
			at++
		}
		if !ok || at == len(units) {
			return 0, false
		}
		total += n * units[at].long
		units, rest = units[at+1:], rest[name:]
	}
	if minus {
		total = -total
	}
	return total, true
}

// isoDuration reads a duration of ISO 8601: P1DT12H, PT0.5S, PT0,5S, P2W, -PT5S.
func isoDuration(text string) (seconds, bool) {
	unsigned, minus := strings.CutPrefix(text, "-")
	p, ok := strings.CutPrefix(unsigned, "P")
	if !ok || strings.Contains(p, "-") {
		return 0, false
	}
	days, clock, timed := strings.Cut(strings.ReplaceAll(p, ",", "."), "T")
	total := seconds(0)
	if days != "" || !timed {
		if total, ok = sum(days, isoDays); !ok {
			return 0, false
		}
	}
	if timed {
		s, ok := sum(clock, isoClock)
		if !ok {
			return 0, false
		}
		total += s
	}
	if minus {
		total = -total
	}
	return total, true
}

// The forms of a time in ISO 8601 that say its zone; RFC 3339 is the first. Go
// reads a fraction of the second after each.
var isoLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07:00", "20060102T150405Z0700"}

// isoTime reads a time of ISO 8601. RFC 3339 allows small letters and a space
// for the T.
func isoTime(text string) (at time.Time, err error) {
	if len(text) > len("2006-01-02") && text[len("2006-01-02")] == ' ' {
		text = text[:len("2006-01-02")] + "T" + text[len("2006-01-02")+1:]
	}
	text = strings.ToUpper(text)
	for _, layout := range isoLayouts {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return at, err
}
