package connection

import (
	"fmt"
	"strings"
	"time"

	"github.com/postern-proxy/postern/oauth"
)

// How the states follow each other. Every function takes the row as it is and
// returns it as it is to be, with the line of history that tells why; the store
// makes the move only if nobody else moved the row in between.

// leaseTime is how long one process may take to renew a token before another may
// try.
const leaseTime = 30 * time.Second

// begin marks that holder asks for a new token from now on. It is on disk before
// the question is sent, so that a crash in between is seen afterwards.
func begin(r Row, holder string) (Row, Move) {
	m := Move{From: r.State, To: Refreshing, Generation: r.Generation, Reason: "a new token is asked for"}
	if r.State == Refreshing {
		m.Reason = "asked again: how the renewal before ended is not known"
	}
	r.State, r.Tries, r.Holder, r.Until = Refreshing, r.Tries+1, holder, r.Now.Add(leaseTime)
	return r, m
}

// granted is r with a new token. The sealed columns are filled in by the caller.
func granted(r Row, t *oauth.Token, needs []string, reason string) (Row, Move) {
	m := Move{From: r.State, To: Active, Generation: r.Generation + 1, Reason: reason}
	r.State, r.Generation, r.Obtained = Active, r.Generation+1, r.Now
	r.Expiry, r.RefreshExpiry = shift(t.Expiry, r.Now), shift(t.RefreshExpiry, r.Now)
	r.Needs, r.Granted = needs, t.Scopes
	if t.Scopes == nil { // RFC 6749 §5.1: as asked
		r.Granted = needs
	}
	r.Tries, r.Failures, r.Failure, r.RevokeDue = 0, 0, "", time.Time{}
	r.Holder, r.Until = "", time.Time{}
	return r, m
}

// shift moves a time of this process's clock to that of the store.
func shift(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return now.Add(time.Until(t))
}

// failed is r after a renewal that may be tried again. What there is stays.
func failed(r Row, why string) (Row, Move) {
	m := Move{From: r.State, To: Active, Generation: r.Generation, Reason: "no new token: " + why, Failed: true}
	r.State, r.Tries, r.Holder, r.Until = Active, 0, "", time.Time{}
	r.Failures, r.Failure = r.Failures+1, why
	return r, m
}

// lost is r without a grant: only a person can bring it back. The tokens are
// forgotten: the provider does not take them any more.
func lost(r Row, why string) (Row, Move) {
	m := Move{From: r.State, To: NeedsReconnect, Generation: r.Generation, Reason: why}
	r.State, r.Failure, r.Holder, r.Until = NeedsReconnect, why, "", time.Time{}
	r.Access, r.Refresh, r.Extra, r.Tries = nil, nil, nil, 0
	return r, m
}

// revoked is r ended. With due the tokens are kept, for nothing but to tell the
// provider; without, they are forgotten.
func revoked(r Row, why string, due time.Time) (Row, Move) {
	m := Move{From: r.State, To: Revoked, Generation: r.Generation, Reason: why}
	r.State, r.Failure, r.Holder, r.Until, r.Tries, r.Failures = Revoked, "", "", time.Time{}, 0, 0
	if r.RevokeDue = due; due.IsZero() {
		r.Access, r.Refresh, r.Extra = nil, nil, nil
	}
	return r, m
}

// restored is r in use again, after it was revoked: its token is asked for without
// a person. What the provider was still to be told of the old one is dropped, as
// with a new grant.
func restored(r Row) (Row, Move) {
	m := Move{From: r.State, To: Active, Generation: r.Generation, Reason: "renewed by hand"}
	r.State, r.RevokeDue, r.Access, r.Refresh, r.Extra = Active, time.Time{}, nil, nil, nil
	return r, m
}

// asked is a row that is made because somebody asked for a link.
func asked(r Row, needs []string) (Row, Move) {
	r.State, r.Needs = Pending, needs
	return r, Move{To: Pending, Reason: "a link to connect was asked for"}
}

// failureDelay is how long to wait after so many renewals in a row have failed.
func failureDelay(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(time.Second<<min(failures-1, 9), 5*time.Minute)
}

// differ lists the scopes that were asked for and not granted, and the reverse.
func differ(needs, granted []string) (missing, surplus []string) {
	if len(needs) == 0 { // the provider chose
		return nil, nil
	}
	return oauth.ScopeDiff(needs, granted)
}

// privileges words how what was granted differs from what was asked for; "" if
// it does not.
func privileges(needs, granted []string) (missing, extra string) {
	less, more := differ(needs, granted)
	if len(less) > 0 {
		missing = fmt.Sprintf("fewer scopes were granted than the policy asks for: %s are missing", strings.Join(less, ", "))
	}
	if len(more) > 0 {
		extra = fmt.Sprintf("more scopes were granted than the policy asks for: %s", strings.Join(more, ", "))
	}
	return missing, extra
}
