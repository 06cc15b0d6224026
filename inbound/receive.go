package inbound

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
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
	h := w.Header() // names are in their canonical form
	h["Postern-Id"], h["X-Content-Type-Options"] = []string{rec.ID}, noSniff
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
	if r.Method != http.MethodPost && !slices.Contains(hook.check.Methods, r.Method) {
		notAllowed(w, rec, hook)
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
		Method: r.Method, URL: set.config.publicURL(r.URL.RequestURI()), Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Header: r.Header, Body: body, Received: rec.Received, Peer: peer(r),
	})
}

// peer is the certificate that the sender has shown and the listener verified.
func peer(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// accept verifies what was read, and stores it.
func (in *Inbox) accept(w http.ResponseWriter, r *http.Request, rec *Reception, hook *Webhook, req *Request) {
	ctx, cancel := context.WithTimeout(r.Context(), storeWithin)
	defer cancel()
	if hook.greeted(w, rec, hook.meet(req, nil)) {
		return
	}
	if r.Method != http.MethodPost {
		notAllowed(w, rec, hook)
		return
	}
	verdict := hook.verify(ctx, req)
	rec.Proof, rec.Why = verdict.Proof, verdict.Why
	in.tellOldKey(hook, verdict)
	in.noteSkew(hook, req, verdict)
	if verdict.Result != Accepted {
		rec.Result = verdict.Result.String()
		if verdict.Result == Unavailable {
			unavailable(w, rec, verdict.Err)
			return
		}
		hook.refuse(w, rec)
		return
	}
	if hook.greeted(w, rec, hook.meet(req, &verdict)) {
		return
	}
	if hook.check.Handshake != nil {
		if a, ok := hook.check.Handshake(req); ok {
			rec.Result = "handshake"
			a.write(w, rec)
			return
		}
	}
	all := hook.arrivals(req, verdict, in.ids(rec.ID))
	in.outlive(hook, all)
	known := in.seen.recognise(all)
	if len(all) > 0 && !known {
		if err := in.opt.Store.Insert(ctx, all...); err != nil {
			unavailable(w, rec, fmt.Errorf("store the event: %w", err))
			return
		}
	}
	if err := in.arrived(ctx, hook, req, verdict, all, rec); err != nil {
		unavailable(w, rec, err)
		return
	}
	in.seen.remember(all, known)
	if hook.check.Reply != nil {
		hook.check.Reply.write(w, rec)
		return
	}
	answer(w, rec, http.StatusOK, "")
}

// greeted answers a handshake; false if m is nil, because the request is none.
func (h *Webhook) greeted(w http.ResponseWriter, rec *Reception, m *met) bool {
	if m == nil {
		return false
	}
	rec.Handshake, rec.Why, rec.Result = m.handshake, m.why, "handshake"
	switch m.result {
	case Accepted:
		m.answer.write(w, rec)
	case Unavailable:
		unavailable(w, rec, m.err)
	default:
		rec.Result = m.result.String()
		h.refuse(w, rec)
	}
	return true
}

// refuse answers what is not rightly signed, and never says why.
func (h *Webhook) refuse(w http.ResponseWriter, rec *Reception) {
	body := "signature not accepted\n"
	if h.check.Quiet {
		body = ""
	}
	answer(w, rec, http.StatusUnauthorized, body)
}

// ids makes ids of events, of which the first is that of the request.
func (in *Inbox) ids(first string) func() string {
	return func() (id string) {
		if id, first = first, ""; id == "" {
			id = in.opt.NewID()
		}
		return id
	}
}

// arrived does what follows when the events of a request are stored.
func (in *Inbox) arrived(ctx context.Context, hook *Webhook, req *Request, v Verdict, all []*Arrival, rec *Reception) error {
	rec.Result = "empty"
	for i, a := range all {
		e := a.Event
		if i == 0 {
			rec.Event, rec.EventID, rec.Type, rec.Account, rec.Items = a.ID, e.EventID, e.Type, e.Account, e.Items
		}
		if e.Items > 0 {
			continue
		}
		if a.What == Stored {
			in.wakeFor(a)
			in.tellMisfit(a)
			in.tellOld(a)
		}
		if err := in.revoke(ctx, hook, req, v, e); err != nil {
			return fmt.Errorf("end the grant that the event is about: %w", err)
		}
		if err := in.pinged(ctx, hook, req, v, e); err != nil {
			return err
		}
		rec.Result = a.result(rec.Result)
		in.alarm(hook, a)
		if a.What == Duplicate {
			in.late(ctx, a)
		}
	}
	return nil
}

// result is what became of a request, given what became of an event of it and of
// those before.
func (a *Arrival) result(before string) string {
	switch {
	case a.What == Conflicted || a.What == Surplus || before == "conflict":
		return "conflict"
	case a.What == Stored || before == "accepted":
		return "accepted"
	}
	return "duplicate"
}

// alarm tells of an event that a person has to look at.
func (in *Inbox) alarm(hook *Webhook, a *Arrival) {
	switch e := a.Event; {
	case a.What == Conflicted:
		in.opt.Observer.trouble("receiving a webhook", fmt.Errorf("webhook %q: event %q came again with another body; it is kept as %s and not delivered", hook.Name, e.EventID, a.ID))
	case a.What == Surplus:
		in.opt.Observer.trouble("receiving a webhook", fmt.Errorf("webhook %q: event %q came with yet another body, which is not kept: %d are", hook.Name, e.EventID, MaxVariants))
	case a.What == Stored && a.Misfit == "":
		if at := slices.IndexFunc(a.To, func(p Placement) bool { return p.State == Quarantined }); at >= 0 {
			in.opt.Observer.held(hook.Name)
			in.opt.Observer.trouble("receiving a webhook", fmt.Errorf("webhook %q: event %q is kept as %s and not delivered: %s", hook.Name, e.EventID, a.ID, a.To[at].Reason))
		}
	}
	for _, p := range a.To {
		if a.What == Stored && strings.HasPrefix(p.Reason, undecided) {
			in.opt.Observer.trouble("receiving a webhook", fmt.Errorf("webhook %q: event %q is kept as %s and not delivered to target %s: %s", hook.Name, a.Event.EventID, a.ID, p.Target, p.Reason))
		}
	}
}

// revoke tells of an event that says that the provider has ended a grant. One that
// nobody has signed ends none. It is told under a name that is signed: by one that
// is not, a request that is replayed would pass for another event.
func (in *Inbox) revoke(ctx context.Context, hook *Webhook, req *Request, v Verdict, e *Event) error {
	if hook.RevokedBy == nil || in.opt.Revoked == nil || hook.check.None || !hook.RevokedBy.True(hook.names(req, v, e)) {
		return nil
	}
	name := e.EventID
	if hook.check.BodyOnly && hook.unsigned(hook.Event.ID) {
		name = "sha256:" + hex.EncodeToString(e.SHA256[:])
	}
	return in.opt.Revoked(ctx, hook.Provider, e.Account, hook.Name+" "+name)
}

func notAllowed(w http.ResponseWriter, rec *Reception, hook *Webhook) {
	w.Header().Set("Allow", strings.Join(append([]string{http.MethodPost}, hook.check.Methods...), ", "))
	answer(w, rec, http.StatusMethodNotAllowed, "webhooks are posted\n")
}

func (a *Answer) write(w http.ResponseWriter, rec *Reception) {
	maps.Copy(w.Header(), a.Header)
	answer(w, rec, cmp.Or(a.Status, http.StatusOK), string(a.Body))
}

// Values of headers that most answers share. Nobody writes into them.
var (
	noSniff   = []string{"nosniff"}
	plainText = []string{"text/plain; charset=utf-8"}
	noBytes   = []string{"0"}
)

func answer(w http.ResponseWriter, rec *Reception, status int, body string) {
	rec.Status = status
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h["Content-Type"] = plainText
	}
	if h["Content-Length"] = noBytes; body != "" {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	if body != "" {
		_, _ = io.WriteString(w, body)
	}
}

// unavailable asks the sender to come again. The cause is for us alone.
func unavailable(w http.ResponseWriter, rec *Reception, err error) {
	rec.Result, rec.Err = "unavailable", err
	w.Header().Set("Retry-After", retryAfter)
	answer(w, rec, http.StatusServiceUnavailable, notStored)
}
