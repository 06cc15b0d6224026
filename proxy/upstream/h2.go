package upstream

//lint:file-ignore SA1019 the successor, net/http's ClientConn, makes its connection itself; ours is there already when we learn that it speaks HTTP/2

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// http2Transport is the protocol without its pool and its retries: connections
// are made with NewClientConn, and used one by one.
type http2Transport = http2.Transport

// h2conn is an HTTP/2 connection. Many requests at a time use it.
type h2conn struct {
	*http2.ClientConn
	key    key
	round  int
	served atomic.Int64

	answered atomic.Bool // at least once
	failure  *failure    // nil where no client certificate was shown
}

func newHTTP2(opt Options) *http2Transport {
	t1 := &http.Transport{
		DisableCompression:     true,
		MaxResponseHeaderBytes: headLimit,
		IdleConnTimeout:        opt.IdleTimeout,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: 1 << 20, // what a slow application costs
			SendPingTimeout:           30 * time.Second,
			PingTimeout:               10 * time.Second,
		},
	}
	t2, err := http2.ConfigureTransports(t1)
	if err != nil {
		panic(err) // only if it had been configured before
	}
	return t2
}

// multiplex makes c, on which HTTP/2 was agreed, a connection for many.
func (t *Transport) multiplex(c net.Conn, k key, round int) (*h2conn, error) {
	h := &h2conn{key: k, round: round}
	if tc, ok := c.(*tls.Conn); ok && k.cert != "" {
		h.failure = &failure{Conn: tc}
		c = h.failure
	}
	cc, err := t.h2.NewClientConn(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	h.ClientConn = cc
	return h, nil
}

// reserve takes a stream on a connection that has one left. Called with the
// pool's mutex held.
func (e *entry) reserve() *h2conn {
	for i, c := range e.multi {
		if c.ReserveNewRequest() {
			if i > 0 {
				e.prune()
			}
			return c
		}
	}
	e.prune()
	return nil
}

// prune forgets connections that take no more requests. They end by themselves.
func (e *entry) prune() {
	keep := e.multi[:0]
	for _, c := range e.multi {
		if s := c.State(); !s.Closed && !s.Closing {
			keep = append(keep, c)
		}
	}
	clear(e.multi[len(keep):])
	e.multi = keep
}

// retire closes the connection once nobody uses it.
func (c *h2conn) retire() {
	c.SetDoNotReuse()
	if s := c.State(); s.StreamsActive+s.StreamsReserved == 0 {
		c.Close()
	}
}

// wentAway is the text for a connection that ended with a GOAWAY frame, without
// what the provider wrote into it; nil for other errors.
func wentAway(err error) error {
	var away http2.GoAwayError
	if !errors.As(err, &away) {
		return nil
	}
	return fmt.Errorf("the connection was closed after a GOAWAY frame (%v)", away.ErrCode)
}

// refused reports whether the provider says that it did not process the
// request (RFC 9113 §8.7): it refused the stream, or went away before it.
func refused(err error) bool {
	var stream http2.StreamError
	if errors.As(err, &stream) {
		return stream.Code == http2.ErrCodeRefusedStream
	}
	text := err.Error()
	return text == "http2: Transport received Server's graceful shutdown GOAWAY" ||
		strings.HasPrefix(text, "http2: Transport received GOAWAY from server")
}
