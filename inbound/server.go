package inbound

import (
	"errors"
	"io"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	headTime = 5 * time.Second  // for a request's head
	stall    = 20 * time.Second // without a byte of the body
	bodyTime = 2 * time.Minute  // for the whole body
)

// Server returns the HTTP server of the inbox; its Addr is that of the inbound
// block in force. The caller listens, with TLS if [Config] says so, and shuts it
// down before it ends [Inbox.Run].
func (in *Inbox) Server() *http.Server {
	return &http.Server{
		Addr: in.set.Load().config.Listen, Handler: in,
		ReadHeaderTimeout: headTime, IdleTimeout: 2 * time.Minute, WriteTimeout: bodyTime + 30*time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: log.New(complaints{in}, "", 0),
	}
}

// Refusal is the HTTP/1.1 answer to a webhook that was sent when its connection
// was about to end, and that nobody has read.
func Refusal() []byte {
	return []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: " + retryAfter +
		"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(notStored)) + "\r\n\r\n" + notStored)
}

// End says that the process is about to: a body that breaks off is from now on
// asked for again, and workers that wait for events are told that there are none.
func (in *Inbox) End() {
	in.ending.Store(true)
	in.pulls.ring()
}

// complaints hands what net/http would log to telemetry.
type complaints struct{ in *Inbox }

func (c complaints) Write(line []byte) (int, error) {
	c.in.opt.Observer.trouble("serving webhooks", errors.New(strings.TrimSpace(string(line))))
	return len(line), nil
}

var errCrowded = errors.New("too many bodies at once")

// readBody reads a body of at most limit bytes from a sender that keeps sending.
// Memory is taken as bytes arrive, never on the word of a Content-Length, and
// errCrowded says that all requests together hold too much.
func (in *Inbox) readBody(w http.ResponseWriter, r *http.Request, limit int64) (body []byte, release func(), err error) {
	taken := int64(0)
	release = func() { in.buffered.Add(-taken) }
	if r.ContentLength > limit {
		return nil, release, &http.MaxBytesError{Limit: limit}
	}
	p := &patient{http.MaxBytesReader(w, r.Body, limit), http.NewResponseController(w), time.Now().Add(bodyTime)}
	size := int64(4 << 10)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength+1) // one more, to see the end
	}
	for ; ; size *= 2 {
		taken += size
		if in.buffered.Add(size) > in.opt.MaxBuffered {
			return nil, release, errCrowded
		}
		body = slices.Grow(body, int(size))
		for len(body) < cap(body) {
			n, err := p.Read(body[len(body):cap(body)])
			body = body[:len(body)+n]
			if err == io.EOF {
				return body, release, nil
			} else if err != nil {
				return body, release, err
			}
		}
	}
}

// patient moves the read deadline on with every byte that arrives.
type patient struct {
	from io.Reader
	rc   *http.ResponseController
	end  time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	next := time.Now().Add(stall)
	if next.After(p.end) {
		next = p.end
	}
	_ = p.rc.SetReadDeadline(next) // a writer without deadlines has other limits
	return p.from.Read(b)
}
