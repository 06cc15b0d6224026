package faults

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Proxy is a backend that passes requests on to the plain-http origin target, bodies untouched.
func Proxy(target string) (http.Handler, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16},
	}, nil
}

// reply is a whole answer in memory. It is the backend's http.ResponseWriter.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (a *reply) Header() http.Header { return a.header }

// WriteHeader drops what is not final: the front door itself grants a 100-continue.
func (a *reply) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *reply) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// act gives the request to the backend and forgets what it answers.
func (s *Server) act(step Step, req *http.Request, body []byte) {
	if step.acts {
		s.answerFor(Pass(), req, body)
	}
}

// answerFor gives the scripted answer, or the backend's.
func (s *Server) answerFor(step Step, req *http.Request, body []byte) *reply {
	if step.kind == answer {
		return &reply{status: step.status, header: step.header.Clone(), body: []byte(step.body)}
	}
	in := req.Clone(s.ctx)
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.ContentLength = int64(len(body))
	in.TransferEncoding = nil
	a := &reply{header: http.Header{}}
	s.cfg.Backend.ServeHTTP(a, in)
	a.WriteHeader(http.StatusOK)
	for _, name := range []string{"Connection", "Transfer-Encoding", "Content-Length"} {
		a.header.Del(name)
	}
	return a
}
