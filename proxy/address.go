package proxy

import (
	"context"
	"net/url"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// way is how a call came in.
type way int

const (
	viaListener way = iota // the proxy's own address: absolute form, base URL
	viaPort                // a provider's own port
	viaTunnel              // out of a CONNECT tunnel
)

// An entry is what a connection, or the listener it came from, says about
// all calls on it.
type entry struct {
	way      way
	loopback bool   // the listener can be reached from this machine only
	name     string // host of the listener, as configured

	port string // viaPort: the listener's address, as configured

	tunnels *tunnels // where connections taken over from net/http are kept; nil is nowhere

	target  Authority // viaTunnel: what CONNECT named
	text    string    // the target as a Host header writes it
	scheme  string    // of what is inside
	client  string    // who opened the tunnel
	account string    // named by its proxy credentials
}

type entryKey struct{}

func entryOf(ctx context.Context) *entry {
	e, _ := ctx.Value(entryKey{}).(*entry)
	if e == nil {
		return &entry{}
	}
	return e
}

// A target is what a call is for: one value, which is matched, dialled and
// credentialed.
type target struct {
	scheme   string
	at       Authority
	provider *policy.Provider // nil if none names the host
	named    bool             // a provider was named that does not exist
	base     bool             // base URL: the host does not stand in the request
	path     string           // base URL: the escaped path at the provider
	account  string           // base URL: named in the path
}

func (t *target) escapedPath(u *url.URL) string {
	if t.base {
		return t.path
	}
	return u.EscapedPath()
}

func hostMismatch(detail string) error {
	return &policy.Denial{Code: policy.HostMismatch, Stage: stage, Detail: detail, Hint: "CONNECT, the TLS server name, the Host header and the URL have to name the same host and port"}
}

func noProvider(t *target) error {
	if t.named {
		return &policy.Denial{Code: policy.NoProvider, Stage: stage, Detail: "no provider of this name is reachable by a base URL", Hint: "check the name after /p/; a provider whose hosts are all wildcards has no base URL"}
	}
	return &policy.Denial{Code: policy.NoProvider, Stage: stage, Detail: "no provider names " + t.at.Address(), Hint: "add the host to a provider block"}
}

// locate finds the target of the call.
func (c *call) locate() error {
	var err error
	switch r := c.r; {
	case c.entry.way == viaTunnel:
		err = c.inTunnel()
	case r.URL.Scheme != "":
		err = c.absolute()
	default:
		return c.baseURL()
	}
	if err == nil {
		c.target.provider = c.state.set.Find(c.target.at.Host, c.target.at.Port)
	}
	return err
}

// inTunnel demands that the request names what CONNECT named (C1, C2). A
// client that sends no server name in TLS names nothing else by it.
func (c *call) inTunnel() error {
	r, e := c.r, c.entry
	c.target.scheme, c.target.at = e.scheme, e.target
	if r.TLS != nil && r.TLS.ServerName != "" && r.TLS.ServerName != e.target.Host {
		if n, err := NormaliseHost(r.TLS.ServerName); err != nil || n != e.target.Host {
			return hostMismatch("the TLS server name is not the host of the tunnel")
		}
	}
	host := r.Host
	if r.URL.Scheme != "" {
		if r.URL.Scheme != e.scheme {
			return hostMismatch("the scheme of the URL is not that of the tunnel")
		}
		host = rawAuthority(r.RequestURI)
	}
	if host == e.text {
		return nil
	}
	if host == "" {
		return hostMismatch("the request names no host")
	}
	a, err := ParseAuthority(host, defaultPort(e.scheme))
	if err != nil {
		return badRequest(err.Error(), "")
	}
	if a != e.target {
		return hostMismatch("the request is for another host or port than the tunnel")
	}
	return nil
}

// absolute reads the URL of a request to a proxy. It counts alone, whatever
// Host says (RFC 9112 §3.2.2).
func (c *call) absolute() error {
	u := c.r.URL
	if u.Scheme != "http" && u.Scheme != "https" {
		return badRequest("the URL's scheme is neither http nor https", "")
	}
	a, err := ParseAuthority(rawAuthority(c.r.RequestURI), defaultPort(u.Scheme))
	if err != nil {
		return badRequest(err.Error(), "")
	}
	c.target.scheme, c.target.at = u.Scheme, a
	return nil
}

// rawAuthority is the authority of an absolute request target as it was sent,
// before anybody decoded it.
func rawAuthority(requestURI string) string {
	_, rest, _ := strings.Cut(requestURI, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[:i]
	}
	return rest
}

// outgoingURL is the URL of the call at the provider, its path and query as
// they were sent.
func (c *call) outgoingURL() (*url.URL, error) {
	u := new(url.URL)
	*u = *c.r.URL
	t := &c.target
	u.Scheme, u.Host, u.User, u.Fragment = t.scheme, t.at.Text(t.scheme), nil, ""
	if t.base && c.entry.way == viaListener {
		path, err := url.PathUnescape(t.path)
		if err != nil {
			return nil, badRequest("the path is not well escaped", "")
		}
		u.Path, u.RawPath = path, t.path
	}
	return u, nil
}
