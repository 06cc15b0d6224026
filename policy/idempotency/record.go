package idempotency

import (
	"fmt"
	"io"
	"net/http"

	"github.com/postern-proxy/postern/policy"
)

// answered ends a call that has an answer, or has the answer recorded while it is
// passed on.
func (c *running) answered(resp *http.Response) *http.Response {
	state := c.judge(c.x, resp)
	if state != Done {
		e := Ending{State: state}
		if state == Unknown {
			e.Why = fmt.Sprintf("the provider answered %d", resp.StatusCode)
		}
		c.end(e)
		return resp
	}
	if why := c.unkeepable(resp); why != "" {
		c.end(Ending{State: Done, Why: "the answer was not kept, because " + why})
		return resp
	}
	rec := &recorder{c: c, resp: resp, src: resp.Body}
	if resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength == 0 {
		rec.whole()
		return resp
	}
	resp.Body = rec
	return resp
}

// recorder passes the body of an answer on and keeps it. All of it is on disk
// before its last byte, or its end, is passed on: whoever repeats the call after
// that finds it.
type recorder struct {
	c    *running
	resp *http.Response
	src  io.ReadCloser
	buf  []byte
	done bool
}

// Read implements [io.Reader].
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if r.done {
		return n, err
	}
	if len(r.buf)+n > int(r.c.KeepSize) {
		r.unkept(fmt.Sprintf("it is longer than keep_size, %v", r.c.KeepSize))
		return n, err
	}
	r.buf = append(r.buf, p[:n]...)
	switch {
	case err == io.EOF && r.resp.ContentLength >= 0 && int64(len(r.buf)) != r.resp.ContentLength, err != nil && err != io.EOF:
		r.unkept("it broke off")
	case err == io.EOF, int64(len(r.buf)) == r.resp.ContentLength:
		r.whole()
	}
	return n, err
}

// Close implements [io.Closer].
func (r *recorder) Close() error {
	if !r.done {
		r.unkept("the application left before its end")
	}
	return r.src.Close()
}

func (r *recorder) unkept(why string) {
	r.done, r.buf = true, nil
	r.c.end(Ending{State: Done, Why: "the answer was not kept, because " + why})
}

// whole stores the answer.
func (r *recorder) whole() {
	r.done = true
	ring, err := r.c.live.Ring()
	if err != nil {
		r.unkept("nothing can be sealed: " + err.Error())
		return
	}
	outcome := r.c.x.Outcome
	if outcome == "" {
		outcome = policy.OfStatus(r.resp.StatusCode)
	}
	s := stored{Status: r.resp.StatusCode, Outcome: outcome, Header: keptHeader(r.resp.Header), Trailer: keptHeader(r.resp.Trailer), Body: r.buf}
	r.c.end(Ending{State: Done, Answer: ring.Seal(s.encode(), bound(r.c.lease.ID)...)})
	r.buf = nil
}
