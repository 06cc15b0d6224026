package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-proxy/postern/policy"
)

// inline is up to how many bytes a body of known length is read before anything
// is sent, so that head and body go out in one write.
const inline = 32 << 10

// outgoing is a request that was checked and is ready to be written: with a
// body in memory, a body to be streamed, or none.
type outgoing struct {
	req     *http.Request
	target  string
	host    string
	upgrade string // protocol asked for, "" for none
	keep    bool   // the connection may serve others afterwards

	body   []byte        // if it is in memory
	src    io.ReadCloser // if it is streamed
	length int64         // -1 is not known: chunked

	*scratch
}

// scratch is memory that requests take turns with.
type scratch struct {
	head, mem []byte
	names     []string
}

var scratches = sync.Pool{New: func() any { return &scratch{mem: make([]byte, 0, inline)} }}

// release gives the memory back. What is being streamed does not use it.
func (o *outgoing) release() {
	if cap(o.head) <= 2*inline {
		scratches.Put(o.scratch)
	}
	o.scratch, o.body = nil, nil
}

// newOutgoing checks a request and reads its body if that is small.
func newOutgoing(req *http.Request, x *policy.Exchange, k key) (*outgoing, error) {
	o := &outgoing{req: req, target: req.URL.RequestURI(), host: req.Host, upgrade: upgradeOf(req.Header), keep: k.private(), length: x.Outgoing().Len()}
	if o.host == "" {
		o.host = req.URL.Host
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.length == 0 && len(req.Trailer) == 0 {
		o.scratch = scratches.Get().(*scratch)
		return o, nil
	}
	src, err := x.Outgoing().Reader()
	if err != nil {
		return nil, fmt.Errorf("read the request body again: %w", err)
	}
	o.scratch = scratches.Get().(*scratch)
	if o.length < 0 || o.length > inline || len(req.Trailer) > 0 {
		o.src = src
		return o, nil
	}
	o.body = o.mem[:o.length]
	if _, err := io.ReadFull(src, o.body); err != nil {
		o.release()
		return nil, sourceError(err)
	}
	return o, nil
}

// sourceError is what reading the application's body failed with, unless it was
// our own copy of it.
func sourceError(err error) error {
	switch {
	case errors.Is(err, policy.ErrCopy):
		return err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrRequestBody, err)
}

// private reports whether connections of k are out of reach of others, so that
// one may carry several requests: clear text over a network is not (claim C24).
func (k *key) private() bool {
	if k.scheme == "https" || k.host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(k.host)
	return err == nil && ip.IsLoopback()
}

// check refuses what could be read as more, or as another, than one request.
func (o *outgoing) check() error {
	switch m := o.req.Method; {
	case !httpguts.ValidHeaderFieldName(m) || m == http.MethodConnect:
		return malformedRequest("The method")
	case !strings.HasPrefix(o.target, "/") && o.target != "*", strings.ContainsFunc(o.target, unprintable):
		return malformedRequest("The path or the query")
	case o.host == "" || !httpguts.ValidHostHeader(o.host):
		return malformedRequest("The Host")
	}
	for name, values := range o.req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return malformedRequest("The name of a header")
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return malformedRequest("The value of the header " + name)
			}
		}
	}
	for name := range o.req.Trailer {
		if !validTrailer(name) {
			return malformedRequest("The name of a trailer")
		}
	}
	return nil
}

func validTrailer(name string) bool {
	return httpguts.ValidHeaderFieldName(name) && httpguts.ValidTrailerHeader(name)
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f }

// upgradeOf is the protocol that a request wants to switch to, "" if none.
// HTTP/2 is not switched to in this way: it would get around the policy.
func upgradeOf(h http.Header) string {
	u := h["Upgrade"]
	if len(u) != 1 || strings.EqualFold(u[0], "h2c") || !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") {
		return ""
	}
	return u[0]
}

// appendHead writes the head for HTTP/1.1. Framing and connection headers are
// ours; all others go out as they are, in alphabetical order.
func (o *outgoing) appendHead(b []byte) []byte {
	b = append(append(append(append(b, o.req.Method...), ' '), o.target...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, o.host...), "\r\n"...)
	o.names = o.names[:0]
	for name := range o.req.Header {
		o.names = append(o.names, name)
	}
	slices.Sort(o.names)
	for _, name := range o.names {
		if ours(name) {
			continue
		}
		for _, v := range o.req.Header[name] {
			b = appendField(b, name, v)
		}
	}
	switch {
	case o.length < 0 || len(o.req.Trailer) > 0:
		b = appendField(b, "Transfer-Encoding", "chunked")
	case o.length > 0 || o.req.Method == http.MethodPost || o.req.Method == http.MethodPut || o.req.Method == http.MethodPatch:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, o.length, 10), "\r\n"...)
	}
	o.names = o.names[:0]
	for name := range o.req.Trailer {
		o.names = append(o.names, name)
	}
	slices.Sort(o.names)
	for _, name := range o.names {
		b = appendField(b, "Trailer", name)
	}
	if httpguts.HeaderValuesContainsToken(o.req.Header["Te"], "trailers") {
		b = appendField(b, "Te", "trailers")
	}
	switch {
	case o.upgrade != "":
		b = appendField(appendField(b, "Connection", "Upgrade"), "Upgrade", o.upgrade)
	case !o.keep:
		b = appendField(b, "Connection", "close")
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// ours reports whether a header is about the connection or the framing.
func ours(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Expect",
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}
