package retry

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/policy"
)

// delay is how long to wait before the next attempt, and whether that is the
// provider's word, which comes before our own backoff.
func (t *loop) delay(x *policy.Exchange, resp *http.Response, n int, before time.Duration, fresh bool) (wait time.Duration, asked bool) {
	if fresh {
		return 0, false
	}
	if d, ok := t.asked(x, resp); ok {
		return d, true
	}
	b := backoff.Backoff{First: t.Backoff.First.Duration, Factor: t.Backoff.Factor, Max: t.Backoff.Max.Duration, Jitter: t.Backoff.Jitter}
	return b.Delay(n, before, t.rnd), false
}

// asked is the wait that the provider asks for: by its Retry-After, or else by
// what the policy names. The latter is about limits: an answer of another kind
// may tell when a limit begins anew that has nothing to do with it.
func (t *loop) asked(x *policy.Exchange, resp *http.Response) (time.Duration, bool) {
	if resp == nil {
		return 0, false
	}
	now := time.Now()
	if d, ok := backoff.RetryAfter(resp.Header, now, math.MaxInt64); ok || t.After == nil || x.Outcome != policy.RateLimited {
		return d, ok
	}
	value, ok := t.After.String(x)
	if !ok || value == "" {
		return 0, false
	}
	d, ok := backoff.Reset(value, t.Unit, backoff.Dated(resp.Header, now))
	if !ok {
		x.Note("retry", "after", "cannot be read in its unit")
	}
	return d, ok
}

// pause waits before the next attempt, and then a moment for a read of the request
// body that is still under way. held reports that it did not return: an application
// that sends no more before it has an answer gets the one that there is.
func pause(ctx context.Context, x *policy.Exchange, wait time.Duration) (held bool, err error) {
	if err := x.Sleep(ctx, wait); err != nil {
		return false, err
	}
	end := time.Now().Add(keepTime)
	if !x.Total.IsZero() && x.Total.Before(end) {
		end = x.Total
	}
	for x.Body.Held() {
		if !time.Now().Before(end) {
			return true, nil
		}
		if err := x.Sleep(ctx, 5*time.Millisecond); err != nil {
			return false, err
		}
	}
	return false, nil
}

// affordable checks what another attempt costs: time, and the budget. A wait
// that the provider asks for and that is too long is never begun: the application
// gets the provider's answer at once, and the hint says when to come again.
func (t *loop) affordable(x *policy.Exchange, v verdict, wait time.Duration, asked bool) verdict {
	now := time.Now()
	late := !x.Total.IsZero() && x.Total.Sub(now) <= wait
	switch {
	case asked && wait > t.Wait.Duration:
		x.Hint = advise(x.Hint, now, wait, fmt.Sprintf("longer than retry.wait of %v", t.Wait))
		return verdict{why: policy.UnretriedWait, reason: "the provider asks for a wait of " + span(wait) + ", longer than retry.wait"}
	case asked && late:
		x.Hint = advise(x.Hint, now, wait, "longer than this call may still take")
		return verdict{why: policy.UnretriedWait, reason: "the provider asks for a wait of " + span(wait) + ", longer than the call may still take"}
	case late:
		return verdict{why: policy.UnretriedWait, reason: "the wait of " + span(wait) + " is longer than the call may still take"}
	case !v.fresh && !t.share.take(now, t.Budget):
		return verdict{why: policy.UnretriedBudget, reason: "the provider's retry budget is spent"}
	}
	return v
}

// advise puts the time of the next useful call behind a hint.
func advise(hint string, now time.Time, wait time.Duration, why string) string {
	s := "The provider asks for a wait of " + span(wait) + ", " + why + "."
	if wait < century {
		s += " Make the call again at " + now.Add(wait).UTC().Format(time.RFC3339) + "."
	}
	if hint == "" {
		return s
	}
	return hint + " " + s
}

const century = 100 * 365 * 24 * time.Hour

// span words a wait for people.
func span(d time.Duration) string {
	if d >= century {
		return "more than a hundred years"
	}
	return d.Round(time.Millisecond).String()
}
