package httpsignature

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	contentDigest = "content-digest"
	contentLength = "content-length"
	date          = "date"
	queryParam    = "@query-param"
)

// A Component is what of a request is signed (RFC 9421 §2): a header, or something
// derived of the request, which begins with @.
type Component struct {
	name   string // in lower case
	header string // canonical, if it is one
	param  string // of @query-param: which, escaped
	id     string // as it is signed: quoted, with its parameters
}

// derived are the components of RFC 9421 §2.2 that a request has.
var derived = []string{"@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query", queryParam}

// ofOneHop are headers that another proxy takes out or changes.
var ofOneHop = []string{"connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}

// UnmarshalText accepts the name of a header, a derived component, and
// @query-param;name=NAME.
func (c *Component) UnmarshalText(text []byte) error {
	name, params, has := strings.Cut(strings.ToLower(string(text)), ";")
	switch {
	case name == queryParam:
		_, which, _ := strings.Cut(string(text), ";")
		which, ok := strings.CutPrefix(which, "name=")
		if which = strings.Trim(which, `"`); !ok || which == "" {
			return fmt.Errorf("%s needs the name of one: %q", queryParam, queryParam+";name=id")
		}
		which = escaped(which)
		*c = Component{name: name, param: which, id: quoted(name) + ";name=" + quoted(which)}
		return nil
	case has:
		return fmt.Errorf("%q: parameters of a component, such as %q, are not read here; headers are signed as they are", text, params)
	case strings.HasPrefix(name, "@"):
		if !slices.Contains(derived, name) {
			return fmt.Errorf("a request has no component %q: use %s, or the name of a header", text, strings.Join(derived, ", "))
		}
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("%q is neither a header nor a derived component", text)
	case slices.Contains(ofOneHop, name):
		return fmt.Errorf("%q may be changed on the way: then the signature would not fit", text)
	case name == "signature" || name == "signature-input":
		return fmt.Errorf("%q cannot be signed: it is what the signature is put into", text)
	}
	*c = plain(name)
	return nil
}

// plain is a component without parameters.
func plain(name string) Component {
	return Component{name: name, header: http.CanonicalHeaderKey(name), id: quoted(name)}
}

// String is the component as a policy writes it.
func (c Component) String() string {
	if c.param != "" {
		return c.name + ";name=" + c.param
	}
	return c.name
}

// ofBody reports whether the component says what a body is: a request without one
// need not have it.
func (c *Component) ofBody() bool { return strings.HasPrefix(c.name, "content-") }

// value is what of the request the component is, as it leaves, of length bytes or
// -1. It is false if the request does not have it, or not once.
func (c *Component) value(r *http.Request, length int64) (string, bool) {
	switch c.name {
	case "@method":
		return r.Method, true
	case "@target-uri":
		return r.URL.Scheme + "://" + host(r) + r.URL.RequestURI(), true
	case "@authority":
		return authority(r), true
	case "@scheme":
		return r.URL.Scheme, true
	case "@request-target":
		return r.URL.RequestURI(), true
	case "@path":
		if path := r.URL.EscapedPath(); path != "" {
			return path, true
		}
		return "/", true
	case "@query":
		return "?" + r.URL.RawQuery, true
	case queryParam:
		return parameter(r.URL.RawQuery, c.param)
	case "host":
		return host(r), true
	case contentLength:
		return strconv.FormatInt(length, 10), length > 0
	}
	return field(r.Header, c.header)
}

// field is a header, by its canonical name, as RFC 9421 §2.1 has it: all its lines,
// without space around.
func field(h http.Header, name string) (string, bool) {
	lines := h[name]
	if len(lines) == 1 {
		return strings.Trim(lines[0], " \t"), true
	}
	trimmed := make([]string, len(lines))
	for i, v := range lines {
		trimmed[i] = strings.Trim(v, " \t")
	}
	return strings.Join(trimmed, ", "), len(lines) > 0
}

func host(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// authority is the host in lower case, without the port that goes without saying
// (RFC 9421 §2.2.3).
func authority(r *http.Request) string {
	h := strings.ToLower(host(r))
	switch r.URL.Scheme {
	case "https":
		return strings.TrimSuffix(h, ":443")
	case "http":
		return strings.TrimSuffix(h, ":80")
	}
	return h
}

// parameter is the value of the one parameter of that escaped name, escaped anew
// (RFC 9421 §2.2.8). One that is there twice is none.
func parameter(raw, name string) (value string, ok bool) {
	for pair := range strings.SplitSeq(raw, "&") {
		key, v, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || escaped(key) != name {
			continue
		}
		v, err := url.QueryUnescape(v)
		if err != nil || ok {
			return "", false
		}
		value, ok = escaped(v), true
	}
	return value, ok
}

// toForm turns what url.QueryEscape makes into what HTML has for forms, with %20
// for a space.
var toForm = strings.NewReplacer("+", "%20", "~", "%7E", "%2A", "*")

func escaped(s string) string { return toForm.Replace(url.QueryEscape(s)) }
