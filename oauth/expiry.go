package oauth

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// ExpiryUnit is how a server writes the lifetime of a token.
type ExpiryUnit uint8

// The units, by the names of the policy language.
const (
	Seconds ExpiryUnit = iota // from now on, as RFC 6749 §5.1 says; see [Server.ExpiryName] for the exceptions
	Millis                    // milliseconds from now on
	Epoch                     // seconds since 1970: a point in time
	EpochMS                   // milliseconds since 1970
	RFC3339                   // a point in time, written out
)

var unitNames = [...]string{Seconds: "s", Millis: "ms", Epoch: "epoch", EpochMS: "epoch_ms", RFC3339: "rfc3339"}

// String returns the word that the policy language has for u.
func (u ExpiryUnit) String() string {
	if int(u) < len(unitNames) {
		return unitNames[u]
	}
	return fmt.Sprintf("ExpiryUnit(%d)", uint8(u))
}

// UnmarshalText accepts s, ms, epoch, epoch_ms and rfc3339.
func (u *ExpiryUnit) UnmarshalText(text []byte) error {
	for i, name := range unitNames {
		if string(text) == name {
			*u = ExpiryUnit(i)
			return nil
		}
	}
	return fmt.Errorf("unknown unit %q of a token's lifetime: use s, ms, epoch, epoch_ms or rfc3339", text)
}

const (
	absolute = 1_000_000_000     // seconds: more than 30 years is a point in time (this one is 2001)
	absMilli = 1_000_000_000_000 // the same in milliseconds
)

// expiry is until when the access token is good: zero if the answer does not
// say, says nothing that can be read, or says zero or less, which servers write
// for a token that does not expire (RFC 6749 leaves it open). Such a token is
// used until the API refuses it.
func (s *Server) expiry(get map[string]gjson.Result, c clock) time.Time {
	if s.ExpiryName != "" {
		return s.ExpiryUnit.read(get[s.ExpiryName], c)
	}
	if v := get["expires_in"]; v.Exists() && v.Type != gjson.Null {
		return s.ExpiryUnit.read(v, c)
	}
	for _, name := range []string{"expires_at", "expires_on"} { // GitHub App and Square; Microsoft's managed identities
		if t := Seconds.read(get[name], c); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// refreshExpiry knows the spellings of GitHub, QuickBooks, Keycloak and Square.
func refreshExpiry(get map[string]gjson.Result, c clock) time.Time {
	for _, name := range []string{"refresh_token_expires_in", "x_refresh_token_expires_in", "refresh_expires_in", "refresh_token_expires_at"} {
		if t := Seconds.read(get[name], c); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// read is the point in time that v means. Numbers may be strings. A number of
// seconds that is too large for a lifetime is a point in time, and so is a date
// that is written out.
func (u ExpiryUnit) read(v gjson.Result, c clock) time.Time {
	if v.Type == gjson.String {
		if t, err := time.Parse(time.RFC3339, strings.TrimSpace(v.Str)); err == nil {
			return c.at(t)
		}
	}
	n, ok := number(v)
	if !ok || n <= 0 {
		return time.Time{}
	}
	switch {
	case u == Seconds && n >= absMilli, u == EpochMS, u == Millis && n >= absMilli:
		return c.epoch(n / 1000)
	case u == Seconds && n >= absolute, u == Epoch:
		return c.epoch(n)
	case u == Millis:
		return c.later(n / 1000)
	case u == Seconds:
		return c.later(n)
	}
	return time.Time{} // a number where a date should be
}

// number reads a JSON number or a string of digits.
func number(v gjson.Result) (float64, bool) {
	text := v.Raw
	if v.Type == gjson.String {
		text = strings.TrimSpace(v.Str)
	} else if v.Type != gjson.Number {
		return 0, false
	}
	if strings.Trim(text, "0123456789.eE+-") != "" {
		return 0, false // what ParseFloat takes besides: hex, Inf, NaN, underscores
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

// A clock knows when a request was sent, and how far the server's clock was
// ahead of ours then. Expiries are told by ours.
type clock struct {
	sent  time.Time
	ahead time.Duration
}

// maxAhead is how wrong a clock may be. A Date beyond that is no clock's.
const maxAhead = 24 * time.Hour

// clock takes the server's time from the Date of the answer.
func (a *answer) clock(sent time.Time) clock {
	c := clock{sent: sent}
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil && date.Sub(sent).Abs() <= maxAhead {
		c.ahead = date.Sub(sent)
	}
	return c
}

// at is a point in time by the server's clock, told by ours.
func (c clock) at(t time.Time) time.Time { return t.Add(-c.ahead).UTC() }

// epoch is a number of seconds since 1970, zero beyond the year 9999.
func (c clock) epoch(seconds float64) time.Time {
	const last = 253402300799
	if seconds > last {
		return time.Time{}
	}
	return c.at(time.Unix(int64(seconds), 0))
}

// later is a number of seconds, fewer than a clock's absolute, after the request
// was sent: rather too early than too late.
func (c clock) later(seconds float64) time.Time {
	return c.sent.Add(time.Duration(seconds * float64(time.Second))).UTC()
}
