package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-proxy/postern/backoff"
)

const (
	maxBody  = 64 << 10       // of an answer, in bytes
	maxRetry = 24 * time.Hour // of a Retry-After
)

var errHuge = fmt.Errorf("the answer has more than %d KiB", maxBody>>10)

// A request is one that is being built for a server.
type request struct {
	server *Server
	method string
	to     string
	at     string // what it is for, in errors
	header http.Header
	body   []byte
	mask   mask

	anywhere bool // the token may stand at the top of the answer, not only where the server says
}

// ask starts a request with the server's own header. No error shows the secrets.
func (s *Server) ask(method, to, at string, secrets ...string) *request {
	q := &request{server: s, method: method, to: to, at: at, header: http.Header{}}
	q.mask.hide(secrets...)
	q.header.Set("User-Agent", "postern") // GitHub refuses requests without one
	for name, value := range s.Header {
		q.header.Set(name, value)
	}
	q.header.Set("Accept", "application/json")
	q.header.Set("Accept-Encoding", "identity")
	return q
}

// params puts the parameters into the body, as a form or as JSON.
func (q *request) params(params map[string]string, asJSON bool) error {
	if err := checkParams(params); err != nil {
		return err
	}
	if asJSON {
		return q.json(params)
	}
	form := url.Values{}
	for name, value := range params {
		form.Set(name, value)
	}
	q.header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.body = []byte(form.Encode())
	return nil
}

func (q *request) json(body any) (err error) {
	q.header.Set("Content-Type", "application/json")
	q.body, err = json.Marshal(body)
	return err
}

// An answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// token sends the request and reads a token from the answer.
func (q *request) token(ctx context.Context, do Do) (*Token, error) {
	sent := time.Now()
	a, err := q.send(ctx, do)
	if err != nil {
		return nil, err
	}
	t, e := q.server.read(a, sent, &q.mask, q.anywhere)
	if e != nil {
		e.at = q.at
		return nil, e
	}
	return t, nil
}

// send sends the request once. Its error is an *Error.
func (q *request) send(ctx context.Context, do Do) (*answer, error) {
	r, err := q.http(ctx)
	if err != nil {
		return nil, setup(q.at, err)
	}
	resp, executed, err := do(r)
	switch {
	case err != nil:
		return nil, &Error{Executed: executed, Err: q.mask.wrap(err), at: q.at}
	case resp == nil:
		return nil, &Error{Executed: true, Err: errors.New("the transport gave neither an answer nor an error"), at: q.at}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		err = q.mask.wrap(err)
	case len(body) > maxBody:
		err = errHuge
	}
	if err != nil {
		wait, _ := backoff.RetryAfter(resp.Header, time.Now(), maxRetry)
		return nil, &Error{Status: resp.StatusCode, Executed: true, RetryAfter: wait, Err: err, at: q.at}
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// http is the request to send. It has no GetBody: nobody below may send it a
// second time.
func (q *request) http(ctx context.Context) (*http.Request, error) {
	if q.to == "" {
		return nil, errors.New("the server has no URL for it")
	}
	u, err := parseURL(q.to)
	if err != nil {
		return nil, fmt.Errorf("its URL %w", err)
	}
	for name, values := range q.header {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(values[0]) {
			return nil, fmt.Errorf("the header field %q holds a line break or another control character: take it out", name)
		}
	}
	r := &http.Request{
		Method: q.method, URL: u, Host: u.Host, Header: q.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if q.body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(q.body)), int64(len(q.body))
	}
	return r.WithContext(ctx), nil
}
