package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/proxy"
	"github.com/postern-proxy/postern/proxy/upstream"
)

// run makes the test's call through the same handler, stages and transport as
// a real one. Only the network is another: connections in memory, and a
// provider that answers by the script.
func (t *trial) run(path string, r *testResult) {
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	time.Sleep(time.Until(t.Time.Time))
	stage, err := newStage(t.Upstream)
	if err != nil {
		fail("%v", err)
		return
	}
	defer stage.close()
	tokens, err := t.newTokens()
	if err != nil {
		fail("%v", err)
		return
	}
	defer tokens.close()
	if t.Nonce != "" {
		tokens.live.Nonce = func() string { return t.Nonce }
	}
	h := proxy.NewHandler(stage.dial)
	features, err := stages(silent{}, means{live: tokens.live, egress: h.Egress, answers: tokens.answers})
	if err != nil {
		fail("%v", err)
		return
	}
	secrets := block.StandIns()
	for name, value := range t.StandIn {
		secrets.StandIn(name, value)
	}
	l, diags := load(path, secrets, features, stage.transport, offline())
	if diags.HasErrors() {
		fail("%v", diags)
		return
	}
	if names := secrets.Unasked(); len(names) > 0 {
		fail("stand_in has %s, which no secret of the policy is called", strings.Join(names, ", "))
	}
	if err := tokens.connect(l, t.Connection); err != nil {
		fail("%v", err)
		return
	}
	var x *policy.Exchange
	h.Done = func(done *policy.Exchange, _ proxy.Result) { x = done }
	h.Swap(l.outbound, true)

	start := time.Now()
	if len(t.Webhook) > 0 {
		got, err := t.receive(l, h)
		if err != nil {
			fail("%v", err)
			return
		}
		r.Virtual = time.Since(start).String()
		t.judgeWebhooks(got, fail)
		return
	}
	req, err := t.request()
	if err != nil {
		fail("%v", err)
		return
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	r.Virtual = time.Since(start).String()
	t.judge(&seen{w, x, stage.received(), tokens.stage.received()}, fail)
}

// request is the call as it comes out of an intercepted tunnel.
func (t *trial) request() (*http.Request, error) {
	u, err := url.Parse(t.Request.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("request.url %q is not an http or https URL", t.Request.URL)
	}
	req := httptest.NewRequest(t.Request.Method, t.Request.URL, strings.NewReader(t.Request.Body))
	req.RequestURI = t.Request.URL // absolute form
	req.RemoteAddr = "127.0.0.1:1"
	for name, value := range t.Request.Header {
		req.Header.Set(name, value)
	}
	if t.Request.Account != "" {
		req.Header.Set("Postern-Account", t.Request.Account)
	}
	return req, nil
}

// stage is the provider of one test, and the network to it.
type testStage struct {
	script    []trialUpstream
	transport *upstream.Transport
	server    *http.Server
	listener  *pipes

	mu   sync.Mutex
	sent []sentRequest
	next int
}

// sentRequest is what the provider received, as assertions see it.
type sentRequest struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Query  string            `json:"query"`
	Host   string            `json:"host"`
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`

	Certificate string `json:"certificate"` // name in that of the client, "" if there is none
}

var errRefused = errors.New("connection refused")

func newStage(script []trialUpstream) (*testStage, error) {
	cert, roots, err := standInCertificate()
	if err != nil {
		return nil, err
	}
	if len(script) == 0 {
		script = []trialUpstream{{Status: http.StatusOK}}
	}
	s := &testStage{script: script, listener: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
	s.transport = upstream.New(upstream.Options{Dial: s.dial, RootCAs: roots, HTTP1: true})
	s.server = &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0), ConnContext: withConn}
	go s.server.Serve(either{s.listener, &tls.Config{GetCertificate: cert, ClientAuth: tls.RequestClientCert}})
	return s, nil
}

func (s *testStage) close() {
	s.transport.Close()
	s.server.Close()
}

// dial connects to the stage, whatever the address. A refused connection is an
// attempt that uses up its line of the script.
func (s *testStage) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	line := s.script[min(s.next, len(s.script)-1)]
	if line.Fault == "refuse" {
		s.next++
	}
	s.mu.Unlock()
	if line.Fault == "refuse" {
		return nil, errRefused
	}
	return s.listener.dial(ctx)
}

// ServeHTTP answers by the next line of the script.
func (s *testStage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	got := sentRequest{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host, Header: map[string]string{}, Body: string(body)}
	if c, ok := r.Context().Value(connKey{}).(*peeked); ok {
		got.Certificate = c.client()
	}
	for name, values := range r.Header {
		got.Header[name] = strings.Join(values, ", ")
	}
	s.mu.Lock()
	s.sent = append(s.sent, got)
	line := s.script[min(s.next, len(s.script)-1)]
	s.next++
	s.mu.Unlock()
	select {
	case <-time.After(line.After.Duration):
	case <-r.Context().Done():
		return
	}
	if line.Fault == "reset" {
		panic(http.ErrAbortHandler)
	}
	for name, value := range line.Header {
		w.Header().Set(name, value)
	}
	if line.Body != "" && w.Header().Get("Content-Type") == "" && json.Valid([]byte(line.Body)) {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(line.Status)
	_, _ = io.WriteString(w, line.Body)
}

func (s *testStage) received() []sentRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sentRequest{}, s.sent...) // none is an empty list, not null
}

// seen is everything that a test can look at.
type seen struct {
	answer   *httptest.ResponseRecorder
	exchange *policy.Exchange
	sent     []sentRequest
	asked    []sentRequest // at the token endpoint
}

// Lookup answers the names of assertions.
func (s *seen) Lookup(ref *block.Ref) block.Value {
	var of any
	switch ref.Name {
	case "sent":
		of = s.sent
	case "asked":
		of = s.asked
	case "response":
		header := map[string]string{}
		for name, values := range s.answer.Header() {
			header[name] = strings.Join(values, ", ")
		}
		answer := map[string]any{"status": s.answer.Code, "header": header, "body": s.answer.Body.String()}
		if json.Valid(s.answer.Body.Bytes()) {
			answer["body"] = json.RawMessage(s.answer.Body.Bytes())
		}
		of = answer
	case "problem":
		if s.answer.Header().Get("Content-Type") != "application/problem+json" {
			return block.Value{}
		}
		of = json.RawMessage(s.answer.Body.Bytes())
	case "waited":
		return block.Value{Kind: block.Number, Str: fmt.Sprint(s.exchange.Waited.Seconds())}
	default:
		return block.Value{}
	}
	text, err := json.Marshal(of)
	if err != nil {
		return block.Value{}
	}
	return block.JSONValue(text, ref.Path)
}

// judge compares what was seen with what is expected.
func (t *trial) judge(s *seen, fail func(format string, args ...any)) {
	h := s.answer.Header()
	compare := comparing(fail)
	if e := t.Expect; e != nil {
		t.judgeAnswer(s.answer, fail)
		if e.Attempts != nil && s.exchange.Attempts != *e.Attempts {
			fail("attempts is %d, want %d", s.exchange.Attempts, *e.Attempts)
		}
		compare("outcome", h.Get("Postern-Outcome"), e.Outcome)
		compare("source", h.Get("Postern-Source"), e.Source)
		compare("executed", h.Get("Postern-Executed"), e.Executed)
		if e.Code != nil {
			code, _ := s.Lookup(&block.Ref{Name: "problem", Path: "code"}).Text()
			compare("code", code, e.Code)
		}
	}
	t.judgeAsserts(s, fail)
}

// comparing says where what was seen is not what is wanted, if anything is.
func comparing(fail func(format string, args ...any)) func(what, got string, want *string) {
	return func(what, got string, want *string) {
		if want != nil && got != *want {
			fail("%s is %q, want %q", what, got, *want)
		}
	}
}

// judgeAnswer compares status, headers and body of an answer.
func (t *trial) judgeAnswer(w *httptest.ResponseRecorder, fail func(format string, args ...any)) {
	e, compare := t.Expect, comparing(fail)
	if e.Status != nil && w.Code != *e.Status {
		fail("status is %d, want %d%s", w.Code, *e.Status, detail(w))
	}
	compare("body", w.Body.String(), e.Body)
	for name, want := range e.Header {
		compare("header "+name, w.Header().Get(name), &want)
	}
}

// judgeAsserts evaluates the assertions about s.
func (t *trial) judgeAsserts(s block.Source, fail func(format string, args ...any)) {
	for _, a := range t.Assert {
		v, err := a.Condition.Eval(s)
		switch {
		case err != nil:
			fail("%s could not be evaluated: %v", a.Condition.Source(), err)
		case v.Kind != block.Bool || !v.Bool:
			fail("%s", fallback(a.Error, a.Condition.Source()+" is not true"))
		}
	}
}

// detail shows what a problem says.
func detail(w *httptest.ResponseRecorder) string {
	if !bytes.HasPrefix(w.Body.Bytes(), []byte("{")) || w.Header().Get("Postern-Source") != "postern" {
		return ""
	}
	var p struct{ Detail string }
	_ = json.Unmarshal(w.Body.Bytes(), &p)
	return ": " + p.Detail
}
