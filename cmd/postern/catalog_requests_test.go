package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy/credential"
)

// TestCatalogRequests compares what Postern says to each authorization server of
// the catalogue with catalog/testdata/requests.txt, which a person can hold
// against the provider's documentation: the link for the customer, the exchange of
// the code, the renewal, the revocation; or the question for a token of the
// application's own.
func TestCatalogRequests(t *testing.T) {
	want, err := os.ReadFile("../../catalog/testdata/requests.txt")
	if err != nil {
		t.Fatal(err)
	}
	w, live := &wire{}, credential.NewLive()
	live.Do = w.do
	for _, e := range entries(t) {
		for _, b := range e.offers() {
			for _, s := range sources(completed(t, e, b.Labels[0], live).outbound) {
				fmt.Fprintf(&w.said, "== %s: %s\n", e.name, s.Credential)
				synctest.Test(t, func(t *testing.T) { w.converse(t, s) })
			}
		}
	}
	_, rest, _ := strings.Cut(string(want), "\n\n") // below what the file says of itself
	have, wanted := strings.Split(w.said.String(), "\n"), strings.Split(rest, "\n")
	for i := range max(len(have), len(wanted)) {
		if i >= len(have) || i >= len(wanted) || have[i] != wanted[i] {
			t.Fatalf("line %d of requests.txt, without its head, is not what is sent; this is:\n%s", i+1, w.said.String())
		}
	}
}

// A wire writes down what is sent, and answers as every server does at once.
type wire struct{ said strings.Builder }

const wireAnswer = `{"access_token":"NEW","token":"NEW","ok":true,"authed_user":{"access_token":"NEW"}}`

func (w *wire) do(_ credential.Way, r *http.Request) (*http.Response, bool, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	fmt.Fprintf(&w.said, "%s %s\n", r.Method, plainly(r.URL.String()))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if !slices.Contains([]string{"Accept", "Accept-Encoding", "User-Agent"}, name) {
			fmt.Fprintf(&w.said, "  %s: %s\n", name, plainly(r.Header.Get(name)))
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&w.said, "  %s\n", plainly(string(body)))
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(wireAnswer)), Request: r}, true, nil
}

// converse has everything sent that there is to send.
func (w *wire) converse(t *testing.T, s *connection.Source) {
	ctx, account, redirect := context.Background(), "678", "https://connect.example.com/callback"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s %s: %v", s.Provider, s.Credential, err)
		}
	}
	if !s.Person {
		_, err := s.Mint(ctx, account, "")
		must(err)
		return
	}
	link, err := s.Link(account, redirect, "STATE", "VERIFIER")
	must(err)
	fmt.Fprintf(&w.said, "link %s\n", link)
	_, err = s.Exchange(ctx, account, "CODE", "VERIFIER", redirect)
	must(err)
	_, err = s.Mint(ctx, account, "REFRESH")
	must(err)
	if s.Revoke == nil {
		w.said.WriteString("no way to revoke\n")
		return
	}
	must(s.Revoke(ctx, account, &oauth.Token{
		Access: "ACCESS", Refresh: "REFRESH", Expiry: time.Now().Add(time.Hour), Raw: []byte(`{"stripe_user_id":"acct_1"}`),
	}))
}

var (
	basicPair = regexp.MustCompile(`^Basic (\S+)$`)
	signedJWT = regexp.MustCompile(`([\w-]{10,})\.([\w-]{10,})\.[\w-]{10,}`)
	jti       = regexp.MustCompile(`"jti":"[\w-]{43}"`)
)

// plainly shows Basic credentials and JWTs for what they are, without what is
// random.
func plainly(text string) string {
	if m := basicPair.FindStringSubmatch(text); m != nil {
		pair, _ := base64.StdEncoding.DecodeString(m[1])
		return "Basic <" + string(pair) + ">"
	}
	return signedJWT.ReplaceAllStringFunc(text, func(token string) string {
		parts := strings.Split(token, ".")
		head, _ := base64.RawURLEncoding.DecodeString(parts[0])
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		if !json.Valid(head) || !json.Valid(claims) {
			return token
		}
		return "<" + string(head) + "." + jti.ReplaceAllString(string(claims), `"jti":"…"`) + ">"
	})
}
