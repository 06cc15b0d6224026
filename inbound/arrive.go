package inbound

import (
	"math"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// arrivals says which events a verified request brings, and where the deliveries
// of each begin. id makes ids of Postern's. None are those of an empty list.
func (w *Webhook) arrivals(req *Request, v Verdict, id func() string) []*Arrival {
	names := &Names{Request: req, Timestamp: v.Timestamp}
	if w.Event.Split != nil {
		return w.split(names, v, id)
	}
	e := w.event(names, v, id(), req.Body)
	return []*Arrival{w.arrival(e, names)}
}

// arrival is that of an event whose names are known.
func (w *Webhook) arrival(e *Event, names *Names) *Arrival {
	names.Event = e
	e.Rank = w.rank(e, names)
	a := &Arrival{Event: e, To: w.place(names), Keep: w.horizon()}
	w.hold(a)
	return a
}

// names are those of an event of a request.
func (w *Webhook) names(req *Request, v Verdict, e *Event) *Names {
	n := &Names{Request: req, Timestamp: v.Timestamp, Event: e}
	if w.Event.Split != nil {
		n.Item = e.Body
	}
	return n
}

// place says in which state the deliveries of an event begin, and why.
func (w *Webhook) place(n *Names) []Placement {
	stored := about(n.Event, n.Event.Header, n.Event.Body)
	to, wait := To(w.Targets()...), w.wait(stored)
	for i, d := range w.Deliver {
		if wait > 0 {
			to[i].Due = n.Event.Received.Add(wait)
		}
		if why := d.declines(stored); why != "" {
			to[i].State, to[i].Reason = Ignored, why
		}
	}
	w.admit(n, to)
	w.holdPing(n, to)
	return to
}

// maxName is how long an id, a type, an account or a key may be. A longer id is
// replaced by its digest, the others are cut.
const maxName = 512

// event says what was received, in the words of the event block.
// body is the request's, or the item of it that the event is.
func (w *Webhook) event(names *Names, v Verdict, id string, body []byte) *Event {
	e := &Event{
		ID: id, Webhook: w.Name, Verified: !w.check.None, Proof: v.Proof, Received: names.Received,
		Header: w.kept(names.Header), Body: body, SHA256: w.same(names, body), Size: len(body),
		Type: clip(text(w.Event.Type, names)), Account: clip(text(w.Event.Account, names)), Key: clip(text(w.Event.Key, names)),
		Occurred: w.Event.Unit.parse(text(w.Event.Time, names)),
	}
	w.identify(e, names, v)
	e.Lane = w.lane(e, names)
	return e
}

func text(x *block.Expr, s block.Source) string {
	if x == nil {
		return ""
	}
	v, _ := x.String(s)
	return v
}

func clip(s string) string { return s[:min(len(s), maxName)] }

// millis is from where on a number is milliseconds, whatever its unit is said to be:
// before 1973 nothing was sent, and after 5138 nothing is yet. Some providers write the
// one here and the other there.
const millis = 1e11

// parse reads a provider's time; zero if it is none. One as RFC 3339 has it is read
// in any unit: versions of one API differ. Without a zone it is in UTC, as Xero and
// WooCommerce write it. GitLab writes that out
// (gitlab.com/gitlab-org/gitlab/-/issues/263111, read 2026-11-30).
func (u Unit) parse(s string) time.Time {
	if len(s) > 4 && s[4] == '-' { // behind a year; most are numbers
		for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05 UTC"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t
			}
		}
	}
	if u == RFC3339 {
		return time.Time{}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= millis && n < 1000<<33 {
		return time.UnixMilli(n)
	}
	f, err := strconv.ParseFloat(s, 64)
	if f >= millis {
		f /= 1000
	}
	if err != nil || !(f > 0 && f < 1<<33) {
		return time.Time{}
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(frac*1e9))
}
