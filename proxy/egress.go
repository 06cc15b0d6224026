package proxy

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/postern-proxy/postern/policy"
)

// Egress returns the way for Postern itself to call a provider under policy,
// on behalf of an account ("" for the only one). Each call is an exchange of
// its own with a line in the journal, written when the answer's body is
// closed. A URL without host means the provider's own. Refusals and failures
// are errors, mostly [policy.Denial]; redirects are not followed. An answer bears
// the headers that it would bear for an application.
func (h *Handler) Egress(provider, account string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return h.Send(&policy.Exchange{Account: account, Aside: true}, provider, r)
	}
}

// Send is [Handler.Egress] with an exchange that has not begun, in which ID,
// Client, Account, Tags, Unsure, Decided and Stored say on whose behalf the call is made.
func (h *Handler) Send(x *policy.Exchange, provider string, r *http.Request) (*http.Response, error) {
	x.Start = time.Now()
	x.Total, _ = r.Context().Deadline() // stages go by it, and say so when it is over
	if x.ID == "" {
		id, _ := uuid.NewV7()
		x.ID = id.String()
	}
	e := &errand{h: h, x: x}
	resp, err := e.run(r, provider)
	if err != nil {
		e.finish(err)
		return nil, err
	}
	e.body, resp.Body = resp.Body, e
	return resp, nil
}

// An errand is a call by Postern itself; it is also its answer's body.
type errand struct {
	h    *Handler
	x    *policy.Exchange
	body io.ReadCloser
	in   inflow

	result  Result
	head    time.Duration
	journal sync.Once
}

func (e *errand) run(r *http.Request, provider string) (*http.Response, error) {
	set := e.h.state.Load().set
	p := set.Provider(provider)
	if p == nil {
		return nil, &policy.Denial{Code: policy.NoProvider, Stage: stage, Detail: fmt.Sprintf("there is no provider %q", provider)}
	}
	out := r.Clone(policy.With(r.Context(), e.x))
	e.x.Request = r
	if err := e.locate(set, p, out); err != nil {
		return nil, err
	}
	m, err := p.Match(out.Method, out.URL.EscapedPath())
	if m.Plan != nil {
		e.x.Plan, e.x.Endpoint = m.Plan, m.Endpoint
	}
	if err != nil {
		return nil, err
	}
	if err := clearText(out.URL.Scheme, m.Plan); err != nil {
		return nil, err
	}
	e.x.Body = policy.NewBody(nil, 0, m.Plan.Buffer)
	if r.Body != nil && r.Body != http.NoBody {
		length := r.ContentLength
		if length == 0 {
			length = -1 // as net/http's client reads it
		}
		e.in.src = r.Body
		e.x.Body = policy.NewBody(&e.in, length, m.Plan.Buffer)
	}
	out.Body = nil
	fit(out, m.Plan)
	resp, err := m.Plan.RoundTrip(out)
	e.head = time.Since(e.x.Start)
	if err == nil {
		e.result.Status, e.result.Source, e.result.Outcome = resp.StatusCode, sourceOf(e.x), outcomeOf(e.x, resp)
		mark(resp.Header, e.x, &e.result)
	}
	return resp, err
}

// locate makes the URL of out one of the provider's.
func (e *errand) locate(set *policy.Set, p *policy.Provider, out *http.Request) error {
	if out.URL.Host == "" {
		a, ok := firstHost(p)
		if !ok {
			return &policy.Denial{Code: policy.NoProvider, Stage: stage, Detail: fmt.Sprintf("all hosts of provider %q are wildcards: the URL has to name one", p.Name)}
		}
		out.URL.Scheme, out.URL.Host = "https", a.Text("https")
		if out.Host = out.URL.Host; a.Host == policy.Nowhere {
			return nil
		}
	}
	if out.URL.Scheme != "http" && out.URL.Scheme != "https" || out.URL.User != nil {
		return badRequest("the URL is neither http nor https, or bears credentials", "")
	}
	a, err := ParseAuthority(out.URL.Host, defaultPort(out.URL.Scheme))
	if err != nil {
		return badRequest(err.Error(), "")
	}
	if set.Find(a.Host, a.Port) != p {
		return hostMismatch("the URL names a host that is not provider " + p.Name + "'s")
	}
	out.URL.Host = a.Text(out.URL.Scheme)
	out.Host = out.URL.Host
	return nil
}

// Read implements [io.Reader].
func (e *errand) Read(p []byte) (int, error) {
	n, err := e.body.Read(p)
	e.result.Out += int64(n)
	if err != nil && err != io.EOF {
		e.result.Err = err
	}
	return n, err
}

// Close implements [io.Closer].
func (e *errand) Close() error {
	err := e.body.Close()
	e.finish(nil)
	return err
}

func (e *errand) finish(err error) {
	e.journal.Do(func() {
		if e.x.Body != nil {
			e.x.Body.Close()
		}
		r := &e.result
		r.In, r.Duration = e.in.read.Load(), time.Since(e.x.Start)
		if e.head == 0 {
			e.head = r.Duration
		}
		r.Overhead = max(0, e.head-e.x.Upstream-e.x.Waited)
		if err != nil {
			d := denial(e.x, err)
			r.Err, r.Source, r.Status, r.Code, r.Outcome, r.Executed = err, policy.FromPostern, d.Code.Status(), d.Code, d.Code.Outcome(), d.Executed
			r.Hint = d.Hint
		}
		r.conclude(e.x)
		e.h.Done(e.x, *r)
	})
}
