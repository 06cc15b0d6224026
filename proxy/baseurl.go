package proxy

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

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
// wildcard, unless the account says which one it is.
func firstHost(p *policy.Provider) (Authority, bool) {
	if p.Places() {
		return Authority{Host: policy.Nowhere, Port: "443"}, true
	}
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
