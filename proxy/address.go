package proxy

import (
	"context"
	"net/netip"
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

// baseURL finds the provider by path, /p/NAME[@ACCOUNT]/..., or by port.
func (c *call) baseURL() error {
	if err := c.fromHere(); err != nil {
		return err
	}
	t := &c.target
	t.base, t.path = true, c.r.URL.EscapedPath()
	name := c.state.ports[c.entry.port]
	if c.entry.way == viaListener {
		rest, ok := strings.CutPrefix(t.path, "/p/")
		if !ok {
			return notServed(t.path)
		}
		first, _, _ := strings.Cut(rest, "/")
		t.path = rest[len(first):]
		var account string
		name, account, _ = strings.Cut(first, "@")
		if account != "" {
			var err error
			if t.account, err = url.PathUnescape(account); err != nil || !validAccount(t.account) {
				return badRequest("what follows @ in the path is not the name of an account", "")
			}
		}
	}
	t.scheme, t.named = "https", true
	p := c.state.set.Provider(name)
	if p == nil {
		return nil
	}
	if a, ok := firstHost(p); ok {
		t.provider, t.at = p, a
	}
	return nil
}

// firstHost is the host that a base URL stands for: the first that is no
// wildcard.
func firstHost(p *policy.Provider) (Authority, bool) {
	for _, host := range p.Hosts {
		if a, err := ParseAuthority(string(host), "443"); err == nil {
			return a, true
		}
	}
	return Authority{}, false
}

func notServed(path string) error {
	if strings.HasPrefix(path, "/contracts/") {
		return badRequest("contracts are not built yet", "")
	}
	return badRequest("this address is a proxy and has no page of its own", "use it as HTTPS_PROXY, or as a base URL with /p/ and a provider's name")
}

// fromHere refuses what a web page may have sent: a base URL on this machine
// is within reach of every page that a browser here shows (P5). A page cannot
// send the token of a client, so where that is needed any name is good.
func (c *call) fromHere() error {
	r := c.r
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 && site[0] != "same-origin" && site[0] != "none" {
		return fromPage("Sec-Fetch-Site is " + site[0])
	}
	if origin := r.Header["Origin"]; len(origin) > 0 {
		if _, host, ok := strings.Cut(origin[0], "://"); !ok || !strings.EqualFold(host, r.Host) {
			return fromPage("Origin is another site")
		}
	}
	if !c.entry.loopback || len(c.state.clients) > 0 {
		return nil
	}
	a, err := ParseAuthority(r.Host, "80")
	if err != nil {
		return badRequest(err.Error(), "")
	}
	if _, err := netip.ParseAddr(a.Host); err == nil || a.Host == "localhost" || strings.HasSuffix(a.Host, ".localhost") || a.Host == c.entry.name {
		return nil
	}
	return hostMismatch("the Host header is not a name of this listener")
}

func fromPage(detail string) error {
	return &policy.Denial{Code: policy.NotAllowed, Stage: stage, Detail: detail + ": a web page may not use this proxy", Hint: "call the provider from the application's server"}
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
