package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/store"
)

// trialWebhook is a request that a provider posts to the inbox; they are posted in
// turn.
type trialWebhook struct {
	Method string            `hcl:"method,optional"`
	Path   string            `hcl:"path"` // with the query
	Header map[string]string `hcl:"header,optional"`
	Body   string            `hcl:"body,optional"`
	Sign   bool              `hcl:"sign,optional"`  // as the provider would, with the stand-in of the secret
	After  block.Duration    `hcl:"after,optional"` // how long after the one before
}

// Default is a POST.
func (w *trialWebhook) Default() { w.Method = http.MethodPost }

// Check implements [block.Checker].
func (w *trialWebhook) Check() error {
	if !strings.HasPrefix(w.Path, "/") {
		return block.At("path", "%q does not begin with /", w.Path)
	}
	return nil
}

// settledWithin is how long, by the clock of the test, it may take until no delivery
// is open any more.
const settledWithin = 7 * 24 * time.Hour

// received is what became of the webhooks of a test.
type received struct {
	answer    *httptest.ResponseRecorder // to the last of them
	events    []inbound.Record           // the oldest first
	delivered []sentRequest
}

// receive posts the webhooks of the test to a real inbox, over a store in memory,
// and waits until every delivery has come to its end.
func (t *trial) receive(l *loaded, h *proxy.Handler) (*received, error) {
	app, err := newStage(t.Application)
	if err != nil {
		return nil, err
	}
	defer app.close()
	box := store.NewMemory().Inbox()
	in := inbound.New(inbound.Options{Store: box, Dial: app.dial, Egress: h.Egress, Random: func() float64 { return 0.5 }})
	in.Swap(l.inbound)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); in.Run(ctx) }()
	defer func() { cancel(); <-ended }()

	out := &received{}
	for i := range t.Webhook {
		w := &t.Webhook[i]
		time.Sleep(w.After.Duration)
		req, err := w.request(l)
		if err != nil {
			return nil, err
		}
		out.answer = httptest.NewRecorder()
		in.ServeHTTP(out.answer, req)
	}
	for end := time.Now().Add(settledWithin); ; time.Sleep(time.Second) {
		page, err := box.List(ctx, inbound.Filter{Limit: inbound.MaxPage})
		if err != nil {
			return nil, err
		}
		out.events = page.Events
		open := slices.ContainsFunc(out.events, func(r inbound.Record) bool { return r.Status.Open() })
		if !open || time.Now().After(end) {
			break
		}
	}
	slices.Reverse(out.events)
	out.delivered = app.received()
	return out, nil
}

// request is what is posted.
func (w *trialWebhook) request(l *loaded) (*http.Request, error) {
	u, err := url.ParseRequestURI(w.Path)
	if err != nil {
		return nil, fmt.Errorf("webhook.path %q is no path", w.Path)
	}
	req := httptest.NewRequest(w.Method, w.Path, strings.NewReader(w.Body))
	req.RemoteAddr = "127.0.0.1:1"
	for name, value := range w.Header {
		req.Header.Set(name, value)
	}
	if w.Body != "" && req.Header.Get("Content-Type") == "" && json.Valid([]byte(w.Body)) {
		req.Header.Set("Content-Type", "application/json")
	}
	if !w.Sign {
		return req, nil
	}
	at := slices.IndexFunc(l.hooks, func(h *inbound.Webhook) bool { return h.Path == u.Path })
	if at < 0 {
		return nil, fmt.Errorf("no webhook has the path %s, so nobody knows how to sign for it", u.Path)
	}
	signed := &inbound.Request{
		Method: w.Method, URL: l.inbound.PublicURL(w.Path), Path: u.Path, Query: u.RawQuery, Header: req.Header, Body: []byte(w.Body), Received: time.Now(),
	}
	if err := l.hooks[at].SignSample(signed); err != nil {
		return nil, err
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(signed.Body)), int64(len(signed.Body)) // a signature may stand in it
	return req, nil
}

// Lookup answers the names of assertions about webhooks.
func (r *received) Lookup(ref *block.Ref) block.Value {
	switch ref.Name {
	case "stored":
		return block.Value{Kind: block.Number, Str: fmt.Sprint(len(r.events))}
	case "delivered":
		text, err := json.Marshal(r.delivered)
		if err != nil {
			return block.Value{}
		}
		return block.JSONValue(text, ref.Path)
	case "response":
		return (&seen{answer: r.answer}).Lookup(ref)
	}
	return block.Value{}
}

// judgeWebhooks compares what became of the webhooks with what is expected.
func (t *trial) judgeWebhooks(r *received, fail func(format string, args ...any)) {
	if e := t.Expect; e != nil {
		t.judgeAnswer(r.answer, fail)
		if e.Stored != nil && len(r.events) != *e.Stored {
			fail("stored is %d, want %d", len(r.events), *e.Stored)
		}
		if e.Delivered != nil && len(r.delivered) != *e.Delivered {
			fail("delivered is %d, want %d", len(r.delivered), *e.Delivered)
		}
		if e.State != nil {
			for i := range r.events {
				if got := string(r.events[i].Status); got != *e.State {
					fail("event %d is %s (%s), want %s", i+1, got, reasons(&r.events[i]), *e.State)
				}
			}
			if len(r.events) == 0 {
				fail("nothing is stored, so no event is %s", *e.State)
			}
		}
	}
	t.judgeAsserts(r, fail)
}

func reasons(r *inbound.Record) string {
	var all []string
	for _, d := range r.Deliveries {
		if d.Reason != "" && !slices.Contains(all, d.Reason) {
			all = append(all, d.Reason)
		}
	}
	return fallback(strings.Join(all, "; "), "no reason")
}
