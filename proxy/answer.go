package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// answer passes the provider's answer on, byte for byte.
func (c *call) answer(resp *http.Response) {
	announced := c.answerHead(resp)
	err := c.copyBody(resp)
	c.result.Err = err
	if err != nil {
		c.broken(err)
		// What came is passed on before the connection is cut: an application
		// that saw nothing at all would take the call for one to repeat.
		_ = http.NewResponseController(c.w).Flush()
		panic(http.ErrAbortHandler)
	}
	c.answerTrailers(resp, announced)
}

// answerHead sends status and headers. It returns how many trailers it
// announced.
func (c *call) answerHead(resp *http.Response) int {
	c.settle()
	h, res := c.w.Header(), &c.result
	dropHop(resp.Header)
	maps.Copy(h, resp.Header)
	for _, name := range []string{"Date", "Content-Type"} { // net/http would make them up
		if _, ok := h[name]; !ok {
			h[name] = nil
		}
	}
	c.keepOrClose(h, false)
	for name := range resp.Trailer {
		if forwardable(name, nil) {
			h["Trailer"] = append(h["Trailer"], name)
		}
	}
	if len(resp.Trailer) > 0 && c.r.ProtoMajor == 1 {
		delete(h, "Content-Length") // only a chunked body has trailers in HTTP/1.1
	}
	res.Status, res.Source, res.Outcome = resp.StatusCode, sourceOf(&c.x), outcomeOf(&c.x, resp)
	if c.x.Plan != nil {
		mark(h, &c.x, &c.result)
	}
	c.w.WriteHeader(resp.StatusCode)
	if f, ok := c.w.(http.Flusher); ok && streams(resp) {
		f.Flush() // the application may act on it before the first byte of the body
	}
	return len(resp.Trailer)
}

// outcomeOf is the verdict on an answer; where no stage judged it, its status
// does.
func outcomeOf(x *policy.Exchange, resp *http.Response) policy.Outcome {
	if x.Outcome != "" {
		return x.Outcome
	}
	return policy.OfStatus(resp.StatusCode)
}

// sourceOf says who made an answer.
func sourceOf(x *policy.Exchange) policy.AnswerSource {
	if x.Source != "" {
		return x.Source
	}
	return policy.FromProvider
}

// mark adds the headers that every answer bears, and the one that keeps a
// provider's SDKs from asking again what was asked often enough.
func mark(h http.Header, x *policy.Exchange, r *Result) {
	if x.Stop != "" && (r.Source == policy.FromProvider || r.Source == policy.FromPostern) {
		h[x.Stop] = []string{"false"}
	}
	v := [...]string{x.ID, string(r.Source), string(r.Outcome), strconv.Itoa(x.Attempts)}
	h["Postern-Id"], h["Postern-Source"], h["Postern-Outcome"], h["Postern-Attempts"] = v[0:1:1], v[1:2:2], v[2:3:3], v[3:4:4]
	if x.Unretried != "" {
		h["Postern-Unretried"] = []string{string(x.Unretried)}
	}
}

// answerTrailers sends the trailers, those too that were not announced.
func (c *call) answerTrailers(resp *http.Response, announced int) {
	if len(resp.Trailer) == 0 {
		return
	}
	http.NewResponseController(c.w).Flush() // makes the response chunked: only then there can be trailers
	h := c.w.Header()
	for name, values := range resp.Trailer {
		switch {
		case !forwardable(name, nil):
		case announced == len(resp.Trailer):
			h[name] = values
		default:
			h[http.TrailerPrefix+name] = values
		}
	}
}

// settle ends the time of informational responses, and of our own work.
func (c *call) settle() {
	c.mu.Lock()
	c.settled = true
	c.mu.Unlock()
	c.started = time.Now()
}

// broken records why an answer that had begun could not be finished.
func (c *call) broken(err error) {
	c.result.Executed = c.x.Now.Executed()
	var gone *clientGone
	switch {
	case errors.As(err, &gone), errors.Is(err, context.Canceled) && c.r.Context().Err() != nil:
		c.result.Outcome = policy.Cancelled
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		c.result.Outcome = policy.Timeout
	default:
		c.result.Outcome = policy.Unreachable
	}
}

// copyBody streams the answer. What the provider cut short ends as an aborted
// response, never as a whole one.
func (c *call) copyBody(resp *http.Response) error {
	buf := c.h.copies.Get().(*[copySize]byte)
	defer c.h.copies.Put(buf)
	conn, _ := c.w.(deadliner)
	flusher, _ := c.w.(http.Flusher)
	if !streams(resp) {
		flusher = nil
	}
	limit := c.x.Idle
	if limit <= 0 {
		limit = c.h.Stall
	}
	var armed time.Time
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 {
			if now := time.Now(); conn != nil && now.Sub(armed) > limit/4 {
				armed = now
				conn.SetWriteDeadline(now.Add(limit))
			}
			m, werr := c.w.Write(buf[:n])
			c.result.Out += int64(m)
			if werr != nil {
				return &clientGone{werr}
			}
			if flusher != nil {
				flusher.Flush()
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// clientGone says that writing to the application failed.
type clientGone struct{ err error }

func (e *clientGone) Error() string { return "write to the application: " + e.err.Error() }
func (e *clientGone) Unwrap() error { return e.err }

// streams reports an answer whose parts have to be passed on as they come.
func streams(resp *http.Response) bool {
	if resp.ContentLength < 0 {
		return true
	}
	v := resp.Header["Content-Type"]
	return len(v) > 0 && len(v[0]) >= 17 && strings.EqualFold(v[0][:17], "text/event-stream")
}
