package inbound

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/backoff"
)

// outcome is what came of calling the application.
type outcome struct {
	status      int // 0 if there was no answer
	header      http.Header
	detail      string // the beginning of the answer's body
	took        time.Duration
	err         error // why there was no answer
	interrupted bool  // by our own shutdown
}

// means is the state that an answer with this status leads to.
func (d *Deliver) means(status int) State {
	switch {
	case slices.Contains(d.Applied, status):
		return Applied
	case d.Failed == nil && application.Refuses(status), slices.Contains(d.Failed, status):
		return Failed
	case status >= 200 && status <= 299:
		return Applied
	}
	return Retrying
}

// judge is the move that follows an attempt. It is a pure function.
func judge(d *Delivery, o outcome, to *Deliver, retry *Retry, now time.Time, random func() float64) Move {
	m := Move{To: Retrying, Due: now, Attempt: d.Attempt, Status: o.status, Took: o.took, Detail: o.detail}
	switch {
	case o.interrupted:
		m.Attempt-- // not the application's fault: it does not count
		m.Reason = "interrupted by shutdown"
		return m
	case o.status == 0:
		m.Reason = "no answer"
		if o.err != nil {
			m.Reason += ": " + o.err.Error()
		}
	default:
		m.To = to.means(o.status)
		m.Reason = strconv.Itoa(o.status)
		if name := http.StatusText(o.status); name != "" {
			m.Reason += " " + name
		}
	}
	if m.To != Retrying {
		return m
	}
	if d.Attempt >= retry.Attempts {
		m.To, m.Reason = Failed, fmt.Sprintf("given up after %d attempts: %s", d.Attempt, m.Reason)
		return m
	}
	delays := retry.Backoff.delays()
	m.Wait = delays.Delay(d.Attempt, d.Wait, random)
	if asked, ok := backoff.RetryAfter(o.header, now, delays.Max); ok && asked > 0 {
		m.Wait = asked
	}
	m.Due = now.Add(m.Wait)
	return m
}

// health is what an outcome says about the target: an answer that only this
// event got does not slow the others down.
func (o *outcome) health() bool {
	return o.interrupted || o.status != 0 && o.status != http.StatusTooManyRequests && o.status < 500
}
