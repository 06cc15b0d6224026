package keys

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer is how large what is fetched may be.
const maxAnswer = 256 << 10

// errOffline is what everything comes to without a dialer.
var errOffline = errors.New("nothing is fetched here")

// transport is a client without a proxy, cookies, redirects or compression.
func transport(o Options) *http.Transport {
	return &http.Transport{
		DialContext: o.Dial, TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 5 * time.Second, MaxResponseHeaderBytes: 32 << 10,
		DisableCompression: true, DisableKeepAlives: true,
	}
}

// get makes one request. A redirect is an answer like any other that is not 200.
// life is how long the source says that its answer holds.
func (f *Fetcher) get(ctx context.Context, u *url.URL) (body []byte, life time.Duration, err error) {
	if f.opt.Dial == nil {
		return nil, 0, errOffline
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header["User-Agent"] = []string{"Postern"}
	resp, err := f.client.RoundTrip(req)
	if err != nil {
		return nil, 0, fmt.Errorf("fetch %s: %w", u.Redacted(), err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone || resp.StatusCode == http.StatusForbidden:
		return nil, 0, fmt.Errorf("fetch %s: status %d: %w", u.Redacted(), resp.StatusCode, ErrUnknown)
	case resp.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("fetch %s: status %d", u.Redacted(), resp.StatusCode)
	}
	if body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return nil, 0, fmt.Errorf("fetch %s: %w", u.Redacted(), err)
	}
	if len(body) > maxAnswer {
		return nil, 0, fmt.Errorf("fetch %s: the answer is larger than %d bytes", u.Redacted(), maxAnswer)
	}
	return body, lifetime(resp.Header), nil
}

// lifetime is what Cache-Control says (RFC 9111, 5.2.2.1), within our bounds.
func lifetime(h http.Header) time.Duration {
	for _, d := range strings.Split(h.Get("Cache-Control"), ",") {
		if s, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(d)), "max-age="); ok {
			if n, err := strconv.ParseUint(s, 10, 31); err == nil {
				return min(max(time.Duration(n)*time.Second, least), most)
			}
		}
	}
	return time.Hour
}

// Visit fetches what [Place.Find] has found, for the sake of it.
func (f *Fetcher) Visit(ctx context.Context, u *url.URL) error {
	_, _, err := f.get(ctx, u)
	return err
}
