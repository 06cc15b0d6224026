package policy

import (
	"mime"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Lookup answers the names that expressions of a policy use: request.*,
// account, client and, once there is an answer, response.*. The request is as
// the application sent it.
func (x *Exchange) Lookup(ref *block.Ref) block.Value {
	switch ref.Name {
	case "account":
		return known(x.Account)
	case "client":
		return known(x.Client)
	}
	if part, ok := strings.CutPrefix(ref.Name, "request."); ok {
		return x.ofRequest(part, ref)
	}
	if part, ok := strings.CutPrefix(ref.Name, "response."); ok && x.Response != nil {
		return x.ofResponse(part, ref)
	}
	return block.Value{}
}

func (x *Exchange) ofRequest(part string, ref *block.Ref) block.Value {
	r := x.Request
	switch part {
	case "method":
		return text(r.Method)
	case "host":
		return text(r.URL.Hostname())
	case "path":
		return text(r.URL.EscapedPath())
	case "header":
		return ofHeader(r.Header, ref.Key)
	case "query":
		q := r.URL.Query()
		if ref.Key == "" {
			return block.ObjectValue(q)
		}
		if v, ok := q[ref.Key]; ok {
			return text(v[0])
		}
	case "raw_body", "body":
		body, err := x.Body.Bytes()
		switch {
		case err != nil:
			x.Note("expression", ref.Name, "not read: "+err.Error())
		case part == "raw_body":
			return text(string(body))
		default:
			return parsed(r.Header, body, ref.Path)
		}
	}
	return block.Value{}
}

func (x *Exchange) ofResponse(part string, ref *block.Ref) block.Value {
	switch part {
	case "status":
		return block.Value{Kind: block.Number, Str: statusText(x.Response.StatusCode)}
	case "header":
		return ofHeader(x.Response.Header, ref.Key)
	case "body":
		return x.answered(ref.Path)
	}
	return block.Value{}
}

// parsed reads a body as what its Content-Type says: a form, or else JSON.
func parsed(h http.Header, body []byte, path string) block.Value {
	if len(body) == 0 {
		return block.Value{}
	}
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if kind == "application/x-www-form-urlencoded" {
		return block.FormValue(body, path)
	}
	return block.JSONValue(body, path)
}

func ofHeader(h http.Header, key string) block.Value {
	if key == "" {
		return block.ObjectValue(h)
	}
	if v := h[textproto.CanonicalMIMEHeaderKey(key)]; len(v) > 0 {
		return text(v[0])
	}
	return block.Value{}
}

func text(s string) block.Value { return block.Value{Kind: block.String, Str: s} }

// known is a name that may be empty: then it is null.
func known(s string) block.Value {
	if s == "" {
		return block.Value{}
	}
	return text(s)
}

// statusText formats the usual statuses without allocating.
func statusText(code int) string {
	switch code {
	case 200:
		return "200"
	case 201:
		return "201"
	case 204:
		return "204"
	}
	return strconv.Itoa(code)
}
