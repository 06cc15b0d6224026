package proxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// stage is how refusals made by this package are signed.
const stage = "proxy"

const (
	maxFields = 200      // header fields of a request (claim C77)
	maxTarget = 16 << 10 // bytes of a request target
)

// controls is what the application says to us, not to the provider.
type controls struct {
	proxyAuth string
	account   string
	upgrade   string // protocol asked for, "" if none that is passed on
	trailers  bool   // TE: trailers
	expects   bool   // Expect: 100-continue
	async     bool   // Postern-Async: hand the call over for later
}

// errExpectation is answered with 417, as net/http does by itself in HTTP/1.1.
var errExpectation = &policy.Denial{Code: policy.BadRequest, Stage: stage, Detail: "Expect asks for something other than 100-continue"}

func badRequest(detail, hint string) error {
	return &policy.Denial{Code: policy.BadRequest, Stage: stage, Detail: detail, Hint: hint}
}

// readHead checks the head of the request, keeps what is meant for us, and
// removes it together with everything that concerns this connection only
// (RFC 9110 §7.6.1), before anything is added.
func (c *call) readHead() error {
	r := c.r
	switch {
	case r.Method == http.MethodTrace:
		return &policy.Denial{Code: policy.NotAllowed, Stage: stage, Detail: "TRACE would show headers that Postern adds"}
	case r.Method == http.MethodConnect, r.Method == "PRI":
		return badRequest(r.Method+" is not possible here", "send CONNECT to the proxy's own address, outside of any tunnel")
	case r.ProtoMajor == 1 && r.ProtoMinor > 1, r.ProtoMajor < 1:
		return badRequest(r.Proto+" is not a version of HTTP that is served", "")
	case len(r.RequestURI) > maxTarget:
		return badRequest("the request target is longer than 16 KiB", "")
	}
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		// Transfer-Encoding means nothing in HTTP/1.0: what follows the
		// request may be its body, and is not taken for another request.
		c.w.Header()["Connection"] = []string{"close"}
	}
	return c.readFields()
}

func (c *call) readFields() error {
	h := c.r.Header
	var connection, upgrade []string
	fields := 0
	for name, values := range h {
		fields += len(values)
		switch name {
		case "Connection":
			connection = values
		case "Upgrade":
			upgrade = values
		case "Te":
			c.head.trailers = hasToken(values, "trailers")
		case "Proxy-Authorization":
			if len(values) > 1 {
				return badRequest("there is more than one Proxy-Authorization", "")
			}
			c.head.proxyAuth = values[0]
		case "Host": // HTTP/2 only: net/http removes it from HTTP/1.1
			if len(values) != 1 || values[0] != c.r.Host {
				return hostMismatch("the Host header and :authority differ")
			}
		case "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Transfer-Encoding", "Trailer", "Http2-Settings", "Content-Length":
		case "Expect": // 100-continue is answered by net/http when the body is first read
			if !strings.EqualFold(values[0], "100-continue") {
				return errExpectation
			}
			c.head.expects = true
		default:
			if strings.HasPrefix(name, "Postern-") {
				if err := c.control(name, values); err != nil {
					return err
				}
				break
			}
			if strings.IndexByte(name, '_') >= 0 {
				return badRequest("the name of header "+strconv.Quote(name)+" has an underscore, which some servers read as a hyphen", "write it with hyphens")
			}
			continue
		}
		delete(h, name)
	}
	if fields > maxFields {
		return badRequest("the request has more than 200 header fields", "")
	}
	c.connectionOptions(connection, upgrade)
	return nil
}

// connectionOptions removes what Connection names, and keeps the first upgrade
// that can be passed on: not h2c, which would be a second way past this
// handler, nor TLS.
func (c *call) connectionOptions(connection, upgrade []string) {
	asked := false
	for _, line := range connection {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.TrimString(name)
			if strings.EqualFold(name, "upgrade") {
				asked = true
			} else if name != "" {
				c.r.Header.Del(name)
			}
		}
	}
	if !asked || c.r.ProtoMajor != 1 || c.r.ProtoMinor == 0 {
		return
	}
	for _, line := range upgrade {
		for p := range strings.SplitSeq(line, ",") {
			p = textproto.TrimString(p)
			if l := strings.ToLower(p); p != "" && !strings.HasPrefix(l, "h2c") && !strings.HasPrefix(l, "tls/") && !strings.HasPrefix(l, "http/") {
				c.head.upgrade = p
				return
			}
		}
	}
}

// hasToken reports whether one of the comma-separated elements is token,
// leaving parameters aside.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for t := range strings.SplitSeq(line, ",") {
			t, _, _ = strings.Cut(t, ";")
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}

// dropHop removes from a response what concerns the connection it came over,
// and what only Postern may say.
func dropHop(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for name := range h {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
			delete(h, name)
		default:
			if strings.HasPrefix(name, "Postern-") {
				delete(h, name)
			}
		}
	}
}

// untrailed lists fields that say how a message is framed, routed or
// authorised: they mean nothing in a trailer, and must not get past a stage
// that looks at headers.
var untrailed = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Cookie", "Expect", "Host",
	"Keep-Alive", "Max-Forwards", "Proxy-Authorization", "Proxy-Connection", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// forwardable reports whether a trailer field may be passed on.
func forwardable(name string, slots []policy.Slot) bool {
	if strings.HasPrefix(name, "Postern-") || strings.IndexByte(name, '_') >= 0 {
		return false
	}
	if _, found := slices.BinarySearch(untrailed, name); found {
		return false
	}
	return !slices.ContainsFunc(slots, func(s policy.Slot) bool { return s.In == policy.InHeader && s.Name == name })
}
