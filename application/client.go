// Package application calls the application that Postern stands beside: it is
// posted what it is to know, once, and what came of that is said. Webhooks and
// callbacks both go this way.
//
//	address.go  where it listens: TCP or a Unix domain socket
//	tls.go      whom to believe there, and who calls
//	client.go   one call
package application

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Dial connects by TCP. It is where addresses are guarded.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Client calls an application. Connections are kept for the next call.
type Client struct {
	dial Dial

	mu    sync.Mutex
	roads map[way]*road
}

// way is what connections have in common.
type way struct {
	socket string
	tls    [sha256.Size]byte // see [TLS.material]
}

type road struct {
	*http.Transport
	used time.Time
}

// New returns a client that dials by dial, or without a guard if it is nil.
func New(dial Dial) *Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	return &Client{dial: dial, roads: map[way]*road{}}
}

// A Call is one POST.
type Call struct {
	To      *Address
	TLS     *TLS // nil: the authorities of the system, and no certificate
	Header  http.Header
	Body    []byte
	Timeout time.Duration // for the whole answer
}

// An Answer is what came of a call.
type Answer struct {
	Status int // 0 if there was none
	Header http.Header
	Text   []byte // the body, up to 64 KiB
	Err    error  // why there was none; without the URL
	Sent   bool   // the application may have seen the request
	Late   bool   // it did not answer in time
	Took   time.Duration
}

// Refuses reports whether a status says that no repeat will change the answer.
func Refuses(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// maxAnswer is how much of an answer is read, so that the connection can be used
// again.
const maxAnswer = 64 << 10

// opaque hides what kind of reader a body is, so that the transport can never
// send it a second time by itself.
type opaque struct{ io.Reader }

func (opaque) Close() error { return nil }

// Post makes one call. It follows no redirect, and nothing is sent twice.
func (c *Client) Post(ctx context.Context, call *Call) (a Answer) {
	start := time.Now()
	defer func() { a.Took = time.Since(start) }()
	r, err := c.road(call)
	if err != nil {
		return Answer{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, call.Timeout)
	defer cancel()
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	header := maps.Clone(call.Header)
	if header == nil {
		header = http.Header{}
	}
	req := (&http.Request{
		Method: http.MethodPost, URL: call.To.url, Host: call.To.url.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: opaque{bytes.NewReader(call.Body)}, ContentLength: int64(len(call.Body)),
	}).WithContext(traced)
	resp, err := r.RoundTrip(req)
	if err != nil {
		return Answer{Err: reason(err, call.Timeout), Sent: sent.Load() && !barred(err), Late: late(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols { // what follows is no body, and would be waited for without end
		return Answer{Status: resp.StatusCode, Header: resp.Header, Sent: true}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil { // an answer that breaks off is none
		return Answer{Err: reason(err, call.Timeout), Sent: true, Late: late(err)}
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Text: text, Sent: true}
}

// unused is after how long the connections of a way are given up.
const unused = 10 * time.Minute

// road returns what calls by the way of call.
func (c *Client) road(call *Call) (*road, error) {
	w, m := way{socket: call.To.socket}, material{}
	if call.TLS != nil {
		var err error
		if w.tls, m, err = call.TLS.material(); err != nil {
			return nil, fmt.Errorf("call the application by TLS: %w", err)
		}
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.roads[w]; r != nil {
		r.used = now
		return r, nil
	}
	for other, r := range c.roads {
		if now.Sub(r.used) > unused {
			delete(c.roads, other)
			r.CloseIdleConnections()
		}
	}
	r := &road{transport(c.dial), now}
	if w.socket != "" {
		r.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", w.socket)
		}
	}
	if call.TLS != nil {
		config, err := m.config()
		if err != nil {
			return nil, err
		}
		r.TLSClientConfig = config
	}
	c.roads[w] = r
	return r, nil
}

// transport takes no proxy from the environment and decompresses nothing.
func transport(dial Dial) *http.Transport {
	return &http.Transport{
		DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
}

// Close closes connections that nobody uses.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.roads {
		r.CloseIdleConnections()
	}
}

// barred reports whether the other end did not want to speak TLS with us. With TLS
// 1.3 it says so of a client's certificate when the request may be on its way already;
// nobody has read that.
func barred(err error) bool {
	var said *net.OpError
	return errors.As(err, &said) && said.Op == "remote error"
}

func late(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// reason says why there was no answer, without the URL.
func reason(err error, timeout time.Duration) error {
	if late(err) {
		return fmt.Errorf("the application did not answer within %v", timeout)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
