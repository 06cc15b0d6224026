package proxy

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"github.com/postern-proxy/postern/policy"
)

// maxHints is how many informational responses of one call are passed on.
const maxHints = 16

// forward sends the call through its plan and the answer back.
func (c *call) forward() error {
	plan := c.x.Plan
	var buffer int64
	if plan != nil {
		buffer = plan.Buffer
	}
	c.openBody(buffer)
	out, err := c.outgoing()
	if err != nil {
		return err
	}
	var resp *http.Response
	if plan != nil {
		resp, err = plan.RoundTrip(out)
	} else {
		resp, err = c.passThrough(out)
	}
	if err != nil {
		return c.blame(err)
	}
	defer resp.Body.Close()
	c.body.relax(c.x.Idle) // from here on both sides may take turns
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return c.switchProtocols(resp)
	case resp.StatusCode < 200 || resp.StatusCode > 999:
		return &policy.Denial{Code: policy.CodeUnreachable, Stage: stage, Detail: "the provider answered with an impossible status", Executed: policy.Maybe}
	}
	c.answer(resp)
	return nil
}

// outgoing is the request that the stages see.
func (c *call) outgoing() (*http.Request, error) {
	u, err := c.outgoingURL()
	if err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	if c.r.ProtoAtLeast(1, 1) {
		c.trace.Got1xxResponse = c.inform
	}
	if c.x.Plan == nil {
		c.trace.GotConn = func(httptrace.GotConnInfo) { c.x.Now.Connected = true }
	}
	ctx = httptrace.WithClientTrace(ctx, &c.trace)
	out := c.r.WithContext(policy.With(ctx, &c.x))
	out.URL, out.Host, out.RequestURI = u, u.Host, ""
	out.Body, out.ContentLength, out.TransferEncoding = nil, c.r.ContentLength, nil
	out.Close, out.TLS, out.RemoteAddr = false, nil, ""
	if c.head.trailers {
		out.Header["Te"] = []string{"trailers"}
	}
	if c.head.upgrade != "" {
		out.Header["Connection"], out.Header["Upgrade"] = []string{"Upgrade"}, []string{c.head.upgrade}
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // net/http would name itself
	}
	if plan := c.x.Plan; plan != nil {
		fit(out, plan)
		c.takeTrailers(out, plan.Slots)
	}
	return out, nil
}

// fit makes out what its plan wants to see.
func fit(out *http.Request, plan *policy.Plan) {
	if up := plan.Upstream; up != nil && net.ParseIP(up.Hostname()) == nil {
		out.Host = up.Host // another host goes by its own name; a mock at an address sees the provider's
	}
	for _, name := range internal {
		delete(out.Header, name)
	}
	if plan.ReadsAnswer {
		limitEncodings(out.Header)
	}
}

// internal are headers that tie calls together inside the application's own
// systems (W3C Trace Context, Baggage); they are none of a provider's business.
var internal = [...]string{"Traceparent", "Tracestate", "Baggage"}

// limitEncodings keeps the provider from answering in an encoding that we
// cannot read a copy of.
func limitEncodings(h http.Header) {
	lines, ok := h["Accept-Encoding"]
	if !ok {
		return
	}
	if hasToken(lines, "gzip") || hasToken(lines, "*") {
		h["Accept-Encoding"] = []string{"gzip"}
	} else {
		h["Accept-Encoding"] = []string{"identity"}
	}
}

// takeTrailers announces the trailers that the application announced, and
// fills them in when its body has ended.
func (c *call) takeTrailers(out *http.Request, slots []policy.Slot) {
	out.Trailer = nil
	for name := range c.r.Trailer {
		if forwardable(name, slots) {
			if out.Trailer == nil {
				out.Trailer = http.Header{}
			}
			out.Trailer[name] = nil
		}
	}
	if trailer := out.Trailer; trailer != nil {
		c.body.ended = func() {
			for name := range trailer {
				trailer[name] = c.r.Trailer[name]
			}
		}
	}
}

// passThrough sends a call for a host that no provider names. Nothing is
// added, nothing decided.
func (c *call) passThrough(out *http.Request) (*http.Response, error) {
	body, err := c.x.Body.Reader()
	if err != nil {
		return nil, err
	}
	if c.x.Body.Len() != 0 {
		out.Body = body
	}
	for plain, name := range keyed {
		if v, ok := out.Header[name]; ok {
			delete(out.Header, name)
			out.Header[plain] = v
		}
	}
	c.x.Attempts = 1
	c.x.Now.Start = c.x.Start
	resp, err := c.h.direct.RoundTrip(out)
	if err != nil && c.x.Now.Connected {
		c.x.Now.Written = 1 // or more: net/http does not tell
	}
	return resp, err
}

// keyed are headers by which net/http takes it for safe to send a call again by
// itself (P7). It does not know them in lower case.
var keyed = map[string]string{"idempotency-key": "Idempotency-Key", "x-idempotency-key": "X-Idempotency-Key"}

// inform passes an informational response on, such as 103 (Early Hints). It
// is called by the transport, maybe after the final response.
func (c *call) inform(code int, header textproto.MIMEHeader) error {
	if code == http.StatusContinue || code == http.StatusSwitchingProtocols {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled || c.hints >= maxHints {
		return nil
	}
	c.hints++
	h := c.w.Header()
	kept := maps.Clone(h)
	early := http.Header(header)
	dropHop(early)
	maps.Copy(h, early)
	c.w.WriteHeader(code)
	clear(h)
	maps.Copy(h, kept)
	return nil
}
