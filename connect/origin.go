package connect

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// parseOrigin reads an origin (RFC 6454), such as https://app.example.com, and
// returns it as browsers write it. Only this machine may be named by http.
func parseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || plain(text) != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || strings.ContainsAny(text, "?#*"):
		return "", fmt.Errorf("%q is not an origin such as \"https://app.example.com\"", text)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fmt.Errorf("%q would show what belongs to a customer to everybody on the way: write https", text)
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%q does not begin with https://", text)
	}
	return originOf(u), nil
}

// originOf writes the origin of u as browsers do: in lower case, without the
// port that its scheme has anyway.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if p := u.Port(); p == "" || p == map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host = strings.TrimSuffix(strings.TrimSuffix(host, p), ":")
	}
	return u.Scheme + "://" + host
}

// loopback reports whether a host is this machine, for every browser.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

const maxReturnTo = 2048

// destination is where a browser is sent at the end for text, or why it is not.
// It is nil for an empty text.
//
// A path is one of public_url's own origin; a URL has to be of that or of an
// origin in return_to. Browsers read a URL more generously than anybody else:
// backslashes are slashes to them, tabs and line breaks are nothing, and "//"
// begins a host. So nothing of the kind is let through, in any spelling (claim
// C59), and what is returned is a whole URL.
func (c *Config) destination(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > maxReturnTo {
		return nil, fmt.Errorf("return_to is longer than %d bytes", maxReturnTo)
	}
	if err := plain(text); err != nil {
		return nil, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("return_to is not a URL")
	}
	if u.Scheme == "" {
		if !strings.HasPrefix(text, "/") || u.Host != "" {
			return nil, errors.New("return_to is neither a whole URL nor a path that begins with one slash")
		}
		own, err := url.Parse(c.PublicURL)
		if err != nil {
			return nil, fmt.Errorf("public_url: %w", err)
		}
		u.Scheme, u.Host = own.Scheme, own.Host
	}
	switch {
	case u.User != nil:
		return nil, errors.New("return_to holds user information")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("return_to has no host")
	case strings.Contains(u.Path, "//") || strings.Contains(u.Path, `\`) || strings.Contains(strings.ToLower(u.Path), "%2f") || strings.Contains(strings.ToLower(u.Path), "%5c"):
		return nil, errors.New("the path of return_to has two slashes in a row, a backslash, or a slash that is encoded twice")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	origin := originOf(u)
	if origin != c.PublicURL && !slices.Contains(c.ReturnTo, origin) {
		return nil, errors.New("the origin of return_to is not in connect.return_to")
	}
	_, u.Host, _ = strings.Cut(origin, "://")
	return u, nil
}

// plain refuses what a URL cannot hold unless it is encoded, and the backslash.
func plain(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return errors.New("return_to holds a character that has to be encoded in a URL, or a backslash")
	}
	return nil
}

// arrived is where a browser goes at the end: u, and what came of it.
func arrived(u *url.URL, connected bool, l *link) string {
	out, q := *u, url.Values{"provider": {l.Provider}, "connected": {"0"}}
	if connected {
		q.Set("connected", "1")
	}
	if l.Account != "" {
		q.Set("account", l.Account)
	}
	if out.RawQuery != "" {
		out.RawQuery += "&"
	}
	out.RawQuery += q.Encode()
	return out.String()
}
