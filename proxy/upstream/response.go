package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// mostInformed is how many 1xx responses may come before the real one.
const mostInformed = 10

// readHead reads up to the end of the headers of the final response, or of a
// 101 that was asked for. Informational responses go to the Got1xxResponse of
// the request's [httptrace.ClientTrace].
func (c *conn) readHead(ctx context.Context, o *outgoing) (*http.Response, error) {
	c.budget = headLimit
	for informed := 0; ; informed++ {
		resp, err := parseHead(&c.tp)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200:
			c.budget = -1
			resp.Request = o.req
			return resp, frame(resp, o.req.Method)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			if o.upgrade == "" || !switched(resp.Header, o.upgrade) {
				return nil, errUpgrade
			}
			c.budget = -1
			resp.Request = o.req
			return resp, nil
		case informed >= mostInformed:
			return nil, errInformed
		}
		if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
	}
}

// switched reports whether a 101 names one of the protocols asked for.
func switched(h http.Header, asked string) bool {
	to := h["Upgrade"]
	return len(to) == 1 && to[0] != "" && httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") &&
		httpguts.HeaderValuesContainsToken([]string{asked}, to[0])
}

// parseHead reads a status line and headers (RFC 9112 §4, 5). It is stricter
// than net/http: HTTP/1.0 and 1.1 only, and no space before a colon. Its errors
// do not quote what was read.
func parseHead(tp *textproto.Reader) (*http.Response, error) {
	line, err := tp.ReadLine()
	if err != nil {
		return nil, headError(err)
	}
	resp := &http.Response{ProtoMajor: 1}
	proto, rest, _ := strings.Cut(line, " ")
	switch proto {
	case "HTTP/1.1":
		resp.ProtoMinor = 1
	case "HTTP/1.0":
	default:
		return nil, errMalformed
	}
	code, _, _ := strings.Cut(rest, " ")
	if len(code) != 3 || strings.Trim(code, "0123456789") != "" {
		return nil, errMalformed
	}
	resp.Proto, resp.Status = proto, rest
	resp.StatusCode, _ = strconv.Atoi(code)
	if resp.StatusCode < 100 || resp.StatusCode > 599 {
		return nil, errStatus
	}
	h, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, headError(err)
	}
	if !validFields(h) {
		return nil, errMalformed
	}
	resp.Header = http.Header(h)
	return resp, nil
}

func validFields(h textproto.MIMEHeader) bool {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return false
			}
		}
	}
	return true
}

// headError hides the text of parse errors, which quote the input.
func headError(err error) error {
	var protocol textproto.ProtocolError
	switch {
	case errors.As(err, &protocol):
		return errMalformed
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// frame decides where the body ends (RFC 9112 §6.3) and what becomes of the
// connection then. Whatever two readers could see differently is refused.
func frame(resp *http.Response, method string) error {
	te, cl := resp.Header["Transfer-Encoding"], resp.Header["Content-Length"]
	resp.ContentLength = -1
	switch {
	case len(te) > 0 && (len(cl) > 0 || len(te) > 1 || !strings.EqualFold(te[0], "chunked") || resp.ProtoMinor == 0):
		return errFraming
	case len(te) > 0:
		resp.TransferEncoding = []string{"chunked"}
		delete(resp.Header, "Transfer-Encoding")
		announce(resp)
	case len(cl) > 0:
		n, err := strconv.ParseUint(cl[0], 10, 63)
		for _, again := range cl[1:] {
			if again != cl[0] {
				return errFraming
			}
		}
		if err != nil {
			return errFraming
		}
		resp.ContentLength, resp.Header["Content-Length"] = int64(n), cl[:1]
	}
	tokens := resp.Header["Connection"]
	resp.Close = httpguts.HeaderValuesContainsToken(tokens, "close") ||
		resp.ProtoMinor == 0 && !httpguts.HeaderValuesContainsToken(tokens, "keep-alive")
	if bodiless(resp.StatusCode, method) {
		resp.TransferEncoding = nil
		if method != http.MethodHead {
			resp.ContentLength = 0
		}
	} else if resp.TransferEncoding == nil && resp.ContentLength < 0 {
		resp.Close = true // it ends with the connection
	}
	return nil
}

func bodiless(status int, method string) bool {
	return method == http.MethodHead || status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// announce moves the names of the trailers to where they are expected.
func announce(resp *http.Response) {
	for _, list := range resp.Header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if !validTrailer(name) {
				continue
			}
			if resp.Trailer == nil {
				resp.Trailer = make(http.Header)
			}
			resp.Trailer[name] = nil
		}
	}
	delete(resp.Header, "Trailer")
}
