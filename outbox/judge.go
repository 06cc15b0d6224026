package outbox

import (
	"slices"
	"time"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/queue"
)

// sent is what came of sending a call once.
type sent struct {
	result      *Result
	final       []int // statuses that the provider repeats for the key
	doubtful    bool  // see [policy.Exchange.Doubtful]
	done        bool  // it is known to have had its effect, whatever the answer
	began       time.Time
	took        time.Duration
	interrupted bool // by our own shutdown
	after       time.Duration
	app         bool // the application was called, not a provider
	unsent      bool // and could not be reached
}

// judge is the move that follows. It is a pure function.
func judge(c *Call, s *sent, how *Policy, now time.Time, random func() float64) Move {
	res := s.result
	m := Move{To: Failed, Attempt: c.Attempt, Outcome: res.Outcome, Status: res.Status, Took: s.took, Reason: reasonOf(res), Doubt: c.Doubt}
	if res.Executed != policy.No && m.Doubt.IsZero() && !policy.Idempotent(c.Method) {
		m.Doubt = s.began
	}
	elsewhere := res.Outcome == policy.Redirect && !policy.Effective(res.Status)
	switch {
	case res.Outcome == policy.OK || res.Outcome == policy.Redirect && !elsewhere || s.done:
		m.To, m.Doubt = Done, time.Time{}
		return m
	case s.doubtful:
		m.To = Unknown
		m.Reason = "nobody knows whether it had its effect: " + m.Reason
		return m
	case elsewhere: // nothing was done, and nobody follows it
		m.Doubt = c.Doubt
		return m
	case s.interrupted:
		m.To, m.Due, m.Attempt, m.Reason = Retrying, now, c.Attempt-1, "interrupted by shutdown"
		return m
	case !again(res, s.final):
		return m
	}
	delays := how.Backoff.delays()
	m.Wait = delays.Delay(c.Attempt, c.Wait, random)
	if s.after > 0 {
		m.Wait = max(m.Wait, min(s.after, delays.Max))
	}
	if m.Due = now.Add(m.Wait); !c.Expires.IsZero() && m.Due.After(c.Expires) {
		m.Reason, m.Due, m.Wait = "given up at the end of its lifetime: "+m.Reason, time.Time{}, 0
		return m
	}
	m.To = Retrying
	return m
}

// again reports whether the same call may go better later.
func again(res *Result, final []int) bool {
	if res.Code != "" {
		return res.Code.Retryable() || res.Code == policy.NeedsConnection || res.Code == policy.AccountUnknown
	}
	switch res.Outcome {
	case policy.RateLimited, policy.ServerError, policy.Timeout, policy.Unreachable, policy.Cancelled:
		return !slices.Contains(final, res.Status)
	}
	return false
}

// askedFor is the wait that an answer or a refusal asks for, 0 for none.
func askedFor(d *policy.Denial, header map[string][]string, now time.Time) time.Duration {
	if d != nil {
		return d.RetryAfter
	}
	wait, _ := backoff.RetryAfter(header, now, 24*time.Hour)
	return wait
}

// report is what s says about the provider or, of a callback, the application: an
// answer that only this call got does not slow the others down. s is nil if
// nobody was asked.
func (s *sent) report() queue.Report {
	if s == nil || s.interrupted {
		return queue.Report{}
	}
	r := queue.Report{Health: queue.Well, Took: s.took}
	switch s.result.Outcome {
	case policy.RateLimited: // of one account, more often than not: stages know
		r.Health = queue.Busy
	case policy.ServerError, policy.Timeout, policy.Unreachable:
		r.Health = queue.Trouble
	}
	if s.app {
		r.Pause = s.after
		if s.unsent {
			r.Health = queue.Down
		}
	}
	return r
}
