package inbound

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// arrivals says which events a verified request brings, and where the deliveries
// of each begin. id is Postern's for the first of them.
func (w *Webhook) arrivals(req *Request, v Verdict, id string) []*Arrival {
	e := w.event(req, v, id)
	a := &Arrival{Event: e, To: w.place(&Names{Request: req, Timestamp: v.Timestamp, Event: e})}
	w.hold(a)
	return []*Arrival{a}
}

// place says in which state the deliveries of an event begin, and why.
func (w *Webhook) place(n *Names) []Placement {
	to := To(w.Targets()...)
	stored := about(n.Event, n.Event.Header, n.Event.Body)
	for i, d := range w.Deliver {
		if why := d.declines(stored); why != "" {
			to[i].State, to[i].Reason = Ignored, why
		}
	}
	return to
}

// maxName is how long an id, a type, an account or a key may be. A longer id is
// replaced by its digest, the others are cut.
const maxName = 512

// event says what was received, in the words of the event block.
func (w *Webhook) event(req *Request, v Verdict, id string) *Event {
	names := &Names{Request: req, Timestamp: v.Timestamp}
	e := &Event{
		ID: id, Webhook: w.Name, Verified: !w.check.None, Proof: v.Proof, Received: req.Received,
		Header: w.kept(req.Header), Body: req.Body, SHA256: sha256.Sum256(req.Body), Size: len(req.Body),
		EventID: text(w.Event.ID, names), Type: clip(text(w.Event.Type, names)),
		Account: clip(text(w.Event.Account, names)), Key: clip(text(w.Event.Key, names)),
		Occurred: w.Event.Unit.parse(text(w.Event.Time, names)),
	}
	e.Lane = w.lane(e, names)
	if e.EventID == "" {
		e.EventID = v.EventID
	}
	if e.EventID == "" {
		e.EventID, e.Weak = "sha256:"+hex.EncodeToString(e.SHA256[:]), true
	}
	if len(e.EventID) > maxName {
		sum := sha256.Sum256([]byte(e.EventID))
		e.EventID = "sha256:" + hex.EncodeToString(sum[:])
	}
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

// parse reads a provider's time; zero if it is none.
func (u Unit) parse(s string) time.Time {
	if u == RFC3339 {
		t, _ := time.Parse(time.RFC3339Nano, s)
		return t
	}
	f, err := strconv.ParseFloat(s, 64)
	if u == Millis {
		f /= 1000
	}
	if err != nil || !(f > 0 && f < 1<<33) {
		return time.Time{}
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(frac*1e9))
}
