package inbound

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/application"
	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/queue"
)

// outcome is what came of calling the application.
type outcome struct {
	status      int // 0 if there was no answer
	header      http.Header
	detail      string // the beginning of the answer's body
	took        time.Duration
	err         error // why there was no answer
	called      bool  // false if the message could not even be made
	sent        bool  // the application may have seen the message
	late        bool  // it did not answer in time
	interrupted bool  // by our own shutdown

	probe, revived bool // see [queue.Item]
}

// What the trail says of an attempt without an answer, before the cause. Only one
// of the first kind may be the event's own doing.
const (
	noAnswer   = "no answer"
	notReached = "not reached"
	stillDown  = "still down"
	notSent    = "not sent"

	interrupted = "interrupted by shutdown"
)

// harmful reports whether the event may be why there was no answer: it was sent,
// and the application was up.
func (o *outcome) harmful() bool { return o.sent && o.status == 0 && !o.interrupted && o.counts() }

// counts reports whether the attempt is one of those that the application has. It
// has them for events that it saw while it was up: where it cannot be reached, and
// while it is paused and not back yet, none is used up. One that it has died of
// just after it had come back counts.
func (o *outcome) counts() bool {
	switch {
	case o.status == 0 && o.called && !o.sent:
		return false
	case o.probe && o.health() != queue.Well:
		return o.revived && o.status == 0 && !o.late
	}
	return true
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
	m := Move{To: Retrying, Due: now, Attempt: d.Attempt, Status: o.status, Took: o.took, Detail: o.detail, Reason: o.reason()}
	switch {
	case o.interrupted:
		m.Attempt-- // not the application's fault: it does not count
		m.Reason = interrupted
		return m
	case o.status != 0:
		m.To = to.means(o.status)
	}
	if m.To != Retrying {
		return m
	}
	switch {
	case !o.counts():
		m.Attempt--
	case d.Attempt >= retry.Attempts:
		m.To, m.Reason = Failed, fmt.Sprintf("given up after %d attempts: %s", d.Attempt, m.Reason)
		return m
	}
	delays := retry.Backoff.delays()
	m.Wait = delays.Delay(d.Attempt, d.Wait, random)
	if asked := o.after(now, delays.Max); asked > 0 {
		m.Wait = asked
	}
	m.Due = now.Add(m.Wait)
	return m
}

// reason says in short what came of it.
func (o *outcome) reason() (text string) {
	switch name := http.StatusText(o.status); {
	case o.status != 0 && name != "":
		text = strconv.Itoa(o.status) + " " + name
	case o.status != 0:
		text = strconv.Itoa(o.status)
	case !o.called:
		text = notSent
	case !o.sent:
		text = notReached
	default:
		text = noAnswer
	}
	if o.err != nil {
		text += ": " + o.err.Error()
	}
	if o.probe && o.sent && !o.counts() {
		text = stillDown + ": " + text
	}
	return text
}

// after is how long the answer asks to wait, 0 if it does not.
func (o *outcome) after(now time.Time, most time.Duration) time.Duration {
	asked, _ := backoff.RetryAfter(o.header, now, most)
	return max(asked, 0)
}

// health is what an outcome says about the target: an answer that only this
// event got does not slow the others down.
func (o *outcome) health() queue.Health {
	switch {
	case o.interrupted || !o.called && o.status == 0:
		return queue.Silent
	case o.status == 0 && !o.sent:
		return queue.Down
	case o.status == http.StatusTooManyRequests:
		return queue.Busy
	case o.status == 0 || o.status >= 500:
		return queue.Trouble
	}
	return queue.Well
}

// report words it for the queue. An answer that the policy lists is a sensible one.
func (o *outcome) report(to *Deliver, now time.Time, most time.Duration) queue.Report {
	r := queue.Report{Health: o.health(), Took: o.took}
	switch {
	case o.status != 0 && to.means(o.status) != Retrying:
		r.Health = queue.Well
	case o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable:
		r.Pause = o.after(now, most)
	}
	return r
}
