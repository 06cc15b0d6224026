package keys

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// A Place is where a provider publishes certificates. Both patterns have to match
// as a whole.
type Place struct {
	Host *regexp.Regexp
	Path *regexp.Regexp
	// Query is set where there may be one.
	Query bool
	// Issuers are the hosts from which a missing link of a chain may be had; nil if
	// whole chains are published. A certificate proves itself, so http will do there.
	Issuers *regexp.Regexp
}

// maxURL is how long a URL may be.
const maxURL = 512

// Find returns the URL that raw names, if it is in the place.
func (p Place) Find(raw string) (*url.URL, error) {
	u, err := plain(raw)
	if err != nil {
		return nil, err
	}
	if (u.RawQuery != "" || u.ForceQuery) && !p.Query || !whole(p.Host, u.Hostname()) || !whole(p.Path, u.EscapedPath()) {
		return nil, fmt.Errorf("%s: %w", u.Redacted(), ErrPlace)
	}
	return u, nil
}

// Plain reports what makes a URL unfit to be fetched, whoever wrote it.
func Plain(raw string) error {
	_, err := plain(raw)
	return err
}

func plain(raw string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) { return nil, fmt.Errorf("%.80q %s: %w", raw, why, ErrPlace) }
	if len(raw) > maxURL {
		return refuse("is too long")
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c > '~' || c == '\\' {
			return refuse("holds what no plain URL does")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return refuse("is no URL")
	case u.Scheme != "https":
		return refuse("is not https")
	case u.User != nil:
		return refuse("holds a user")
	case u.Port() != "" && u.Port() != "443":
		return refuse("is on another port than 443")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return refuse("has a fragment")
	case u.Opaque != "" || u.Hostname() == "" || !strings.Contains(u.Hostname(), "."):
		return refuse("names no host of the internet")
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return refuse("names an address")
	}
	return u, nil
}

func whole(p *regexp.Regexp, s string) bool {
	return p != nil && p.FindString(s) == s && s != ""
}
