package claim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// Time reads a timestamp as it was sent: digits only, or RFC 3339. Nothing is
// made of one with a sign, a fraction or a space.
func Time(u inbound.Unit, s string) (time.Time, error) {
	if u == inbound.RFC3339 {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return t, fmt.Errorf("the timestamp %.40q is not as RFC 3339 has it", s)
		}
		return t, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || len(s) > 16 || s[0] == '+' {
		return time.Time{}, fmt.Errorf("the timestamp %.40q is not made of up to 16 digits", s)
	}
	if u == inbound.Millis {
		return time.UnixMilli(int64(n)), nil
	}
	return time.Unix(int64(n), 0), nil
}

// Fresh makes Stale of what was signed further than tolerance from when it was
// received, either way.
func Fresh(v inbound.Verdict, signed, received time.Time, tolerance time.Duration) inbound.Verdict {
	if skew := received.Sub(signed); v.Result == inbound.Accepted && skew.Abs() > tolerance {
		v.Result, v.Why = inbound.Stale, fmt.Sprintf("it was signed %s before it was received, and at most %s either way is allowed", skew.Round(time.Second), tolerance)
	}
	return v
}
