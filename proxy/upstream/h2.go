package upstream

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// h2conn is an HTTP/2 connection. Many requests at a time use it.
type h2conn struct {
	*http2.ClientConn
	key    key
	round  int
	served atomic.Int64
}

// newHTTP2 is the protocol without its pool and its retries: connections are
// made with NewClientConn, and used one by one.
func newHTTP2(opt Options) *http2.Transport {
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
