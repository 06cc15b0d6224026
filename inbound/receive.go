package inbound

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/postern-proxy/postern/config/block"
)

// storeWithin is how long a request waits for the store before it is answered
// 503. The event may be stored all the same; the sender's repeat is a duplicate.
const storeWithin = 2 * time.Second

// retryAfter is what a 503 tells the sender, in seconds.
const retryAfter = "5"

const notStored = "not stored, please send it again\n"

// ServeHTTP receives one webhook. A 2xx is a promise that the event is on disk.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := &Reception{ID: in.opt.NewID(), Received: time.Now()}
	w.Header().Set("Postern-Id", rec.ID)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	defer func() {
		rec.Took = time.Since(rec.Received)
		in.opt.Observer.received(rec)
	}()

	set := in.set.Load()
	hook := set.byPath[r.URL.Path]
	if hook == nil {
		answer(w, rec, http.StatusNotFound, "no webhook has this path\n")
		return
	}
	rec.Webhook = hook.Name
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, rec, http.StatusMethodNotAllowed, "webhooks are posted\n")
		return
	}
	body, release, err := in.readBody(w, r, int64(hook.MaxBody))
	defer release()
	rec.Bytes = len(body)
	if errors.Is(err, errCrowded) {
		unavailable(w, rec, err)
		return
	} else if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		rec.Result = "too_large"
		answer(w, rec, http.StatusRequestEntityTooLarge, "the body is larger than this webhook takes\n")
		return
	} else if err != nil && in.ending.Load() {
		unavailable(w, rec, fmt.Errorf("read the body while the process ends: %w", err))
		return
	} else if err != nil {
		rec.Err = fmt.Errorf("read the body: %w", err)
		answer(w, rec, http.StatusBadRequest, "the body was cut short\n")
		return
	}
	defer in.inflight.Add(-1)
	if in.inflight.Add(1) > int64(in.opt.MaxInFlight) { // those that are slow in coming do not count
		unavailable(w, rec, errors.New("too many requests at once"))
		return
	}
	in.accept(w, r, rec, hook, &Request{
		URL: set.config.publicURL(r.URL.RequestURI()), Query: r.URL.RawQuery,
		Header: r.Header, Body: body, Received: rec.Received,
	})
}

// accept verifies what was read, and stores it.
func (in *Inbox) accept(w http.ResponseWriter, r *http.Request, rec *Reception, hook *Webhook, req *Request) {
	verdict := hook.check.Verify(req)
	if verdict.Result != Accepted {
		rec.Result = verdict.Result.String()
		if verdict.Result == Unavailable {
			unavailable(w, rec, verdict.Err)
			return
		}
		answer(w, rec, http.StatusUnauthorized, "signature not accepted\n")
		return
	}
	if hook.check.Handshake != nil {
		if a, ok := hook.check.Handshake(req); ok {
			rec.Result = "handshake"
			w.Header().Set("Content-Type", a.ContentType)
			answer(w, rec, http.StatusOK, string(a.Body))
			return
		}
	}
	e := hook.event(req, verdict, rec.ID)
	rec.EventID, rec.Type, rec.Account = e.EventID, e.Type, e.Account
	ctx, cancel := context.WithTimeout(r.Context(), storeWithin)
	defer cancel()
	id, what, err := in.opt.Store.Insert(ctx, e, hook.Targets())
	if err != nil {
		unavailable(w, rec, fmt.Errorf("store the event: %w", err))
		return
	}
	rec.Event = id
	if what == Stored {
		in.dispatch.Wake()
	}
	if err := in.revoke(ctx, hook, req, verdict, e); err != nil {
		unavailable(w, rec, fmt.Errorf("end the grant that the event is about: %w", err))
		return
	}
	switch what {
	case Stored:
		rec.Result = "accepted"
	case Duplicate:
		rec.Result = "duplicate"
	case Conflicted:
		rec.Result = "conflict"
		in.opt.Observer.trouble("receiving a webhook", fmt.Errorf("webhook %q: event %q came again with another body; it is kept as %s and not delivered", hook.Name, e.EventID, id))
	}
	answer(w, rec, http.StatusOK, "")
}

// revoke tells of an event that says that the provider has ended a grant. One that
// nobody has signed ends none. It is told under a name that is signed: by one that
// is not, a request that is replayed would pass for another event.
func (in *Inbox) revoke(ctx context.Context, hook *Webhook, req *Request, v Verdict, e *Event) error {
	if hook.RevokedBy == nil || in.opt.Revoked == nil || hook.check.None || !hook.RevokedBy.True(&Names{Request: req, Timestamp: v.Timestamp, Event: e}) {
		return nil
	}
	name := e.EventID
	if hook.check.BodyOnly && hook.unsigned(hook.Event.ID) {
		name = "sha256:" + hex.EncodeToString(e.SHA256[:])
	}
	return in.opt.Revoked(ctx, hook.Provider, e.Account, hook.Name+" "+name)
}

func answer(w http.ResponseWriter, rec *Reception, status int, body string) {
	rec.Status = status
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// unavailable asks the sender to come again. The cause is for us alone.
func unavailable(w http.ResponseWriter, rec *Reception, err error) {
	rec.Result, rec.Err = "unavailable", err
	w.Header().Set("Retry-After", retryAfter)
	answer(w, rec, http.StatusServiceUnavailable, notStored)
}

// maxName is how long an id, a type, an account or a key may be. A longer id is
// replaced by its digest, the others are cut.
const maxName = 512

// event says what was received, in the words of the event block.
func (w *Webhook) event(req *Request, v Verdict, id string) *Event {
	names := &Names{Request: req, Timestamp: v.Timestamp}
	e := &Event{
		ID: id, Webhook: w.Name, Verified: !w.check.None, Received: req.Received,
		Header: w.kept(req.Header), Body: req.Body, SHA256: sha256.Sum256(req.Body), Size: len(req.Body),
		EventID: text(w.Event.ID, names), Type: clip(text(w.Event.Type, names)),
		Account: clip(text(w.Event.Account, names)), Key: clip(text(w.Event.Key, names)),
		Occurred: w.Event.Unit.parse(text(w.Event.Time, names)),
	}
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
