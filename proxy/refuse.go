package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/postern-proxy/postern/policy"
)

// docs is where each code is explained.
const docs = "https://github.com/postern-proxy/postern/blob/main/docs/errors.md#"

// problem is the body of a refusal or failure (RFC 9457).
type problem struct {
	Type              string          `json:"type"`
	Title             string          `json:"title"`
	Status            int             `json:"status"`
	Detail            string          `json:"detail"`
	Code              policy.Code     `json:"code"`
	Outcome           policy.Outcome  `json:"outcome"`
	Provider          string          `json:"provider,omitempty"`
	Endpoint          string          `json:"endpoint,omitempty"`
	Account           string          `json:"account,omitempty"`
	ID                string          `json:"id"`
	Attempts          int             `json:"attempts"`
	Executed          policy.Executed `json:"executed"`
	Retryable         bool            `json:"retryable"`
	RetryAfter        int64           `json:"retry_after,omitempty"` // seconds
	ProviderRequestID string          `json:"provider_request_id,omitempty"`
	ProviderCode      string          `json:"provider_code,omitempty"`
	Hint              string          `json:"hint,omitempty"`
	Docs              string          `json:"docs"`
	Error             sdkError        `json:"error"`
}

// sdkError is a problem as SDKs look for it. stripe-node 23.1.0 takes an answer
// without the member error for a success, whatever its status (RequestSender.js,
// _jsonResponseHandler); openai-node 7.59.0 has its text from there.
type sdkError struct {
	Type    string      `json:"type"`
	Code    policy.Code `json:"code"`
	Message string      `json:"message"`
}

// refuse is the only place where an error becomes the response to a call.
func (c *call) refuse(err error) {
	c.settle()
	res := &c.result
	res.Err, res.Source = err, policy.FromPostern
	if c.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		res.Status, res.Outcome, res.Executed = StatusCancelled, policy.Cancelled, c.x.Now.Executed()
		panic(http.ErrAbortHandler) // nobody is listening
	}
	d := denial(&c.x, err)
	res.Status, res.Code, res.Outcome, res.Executed = d.Code.Status(), d.Code, d.Code.Outcome(), d.Executed
	p := c.problem(d)
	res.Hint = p.Hint
	if err == errExpectation {
		p.Status, res.Status = http.StatusExpectationFailed, http.StatusExpectationFailed
	}
	body, err := json.Marshal(p)
	if err != nil {
		res.Err = errors.Join(res.Err, err)
	}
	h := c.w.Header()
	c.label(h, p, len(body))
	if p.Status == http.StatusProxyAuthRequired {
		h["Proxy-Authenticate"] = []string{`Basic realm="postern", charset="UTF-8"`}
	}
	c.keepOrClose(h, true)
	c.w.WriteHeader(p.Status)
	if c.r.Method != http.MethodHead {
		n, _ := c.w.Write(body)
		res.Out = int64(n)
	}
}

// denial returns err as a Denial whose Executed is filled in. What is none
// went wrong on the way to the provider, and may say nothing of its own.
func denial(x *policy.Exchange, err error) *policy.Denial {
	var d policy.Denial
	if p := (*policy.Denial)(nil); errors.As(err, &p) {
		d = *p
	} else {
		d = policy.Denial{Code: policy.CodeUnreachable, Stage: stage, Detail: "the provider could not be reached, or the connection broke"}
		if x.Attempts > 0 {
			d.Executed = x.Now.Executed()
		}
	}
	if d.Executed == "" && d.Code == policy.ShuttingDown && x.Attempts > 0 {
		d.Executed = x.Now.Executed()
	}
	if d.Executed == "" {
		d.Executed = policy.No
	}
	return &d
}

// shuttingDown refuses what comes at the end, or gives up what takes too long.
func shuttingDown(late bool) *policy.Denial {
	d := &policy.Denial{Code: policy.ShuttingDown, Stage: stage, Detail: "Postern is shutting down", RetryAfter: time.Second}
	if late {
		d.Detail += ", and could not wait for the end of the call"
	}
	return d
}

// refusal is the answer to a request that was sent when its connection was
// about to end, and that nobody has read: it has no line in the journal.
func refusal() []byte {
	c := &call{}
	id, _ := uuid.NewV7()
	c.x.ID = id.String()
	d := denial(&c.x, shuttingDown(false))
	c.result.Source, c.result.Outcome = policy.FromPostern, d.Code.Outcome()
	p := c.problem(d)
	body, err := json.Marshal(p)
	if err != nil {
		return nil // a problem is made of texts and numbers
	}
	h := http.Header{}
	c.label(h, p, len(body))
	var b bytes.Buffer
	_ = (&http.Response{
		StatusCode: p.Status, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}).Write(&b)
	return b.Bytes()
}

// label adds the headers of a problem whose text has size bytes.
func (c *call) label(h http.Header, p *problem, size int) {
	h["Content-Type"] = []string{"application/problem+json"}
	h["Content-Length"] = []string{strconv.Itoa(size)}
	h["Cache-Control"] = []string{"no-store"}
	h["Postern-Executed"] = []string{string(p.Executed)}
	if p.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(p.RetryAfter, 10)}
	}
	mark(h, &c.x, &c.result)
}

func (c *call) problem(d *policy.Denial) *problem {
	p := &problem{
		Type: "urn:postern:problem:" + string(d.Code), Title: d.Code.Title(), Status: d.Code.Status(), Detail: d.Detail,
		Code: d.Code, Outcome: d.Code.Outcome(), Endpoint: c.x.Endpoint, Account: c.x.Account, ID: c.x.ID,
		Attempts: c.x.Attempts, Executed: d.Executed, Retryable: d.Code.Retryable(),
		ProviderRequestID: c.x.ProviderRequestID, ProviderCode: c.x.ProviderCode, Hint: d.Hint, Docs: docs + string(d.Code),
	}
	if c.x.Plan != nil {
		p.Provider = c.x.Plan.Provider
	}
	for _, hint := range [...]string{c.x.Hint, d.Code.Hint()} {
		if p.Hint == "" {
			p.Hint = hint
		}
	}
	if d.RetryAfter > 0 {
		p.RetryAfter = int64(math.Ceil(d.RetryAfter.Seconds()))
	}
	p.Error = sdkError{"postern_error", d.Code, d.Detail}
	if p.Hint != "" {
		p.Error.Message += ". " + p.Hint
	}
	return p
}
