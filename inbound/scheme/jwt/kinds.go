package jwt

import (
	"errors"
	"regexp"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/jws"
	"github.com/postern-proxy/postern/inbound/keys"
)

// Schemes returns the scheme jwt and those of the providers that use it.
func Schemes(f *keys.Fetcher) inbound.Schemes {
	return inbound.Schemes{
		"jwt":       Scheme(f),
		"google":    provider(func(b *Google) token { return b.token(f) }),
		"microsoft": provider(func(b *Microsoft) token { return b.token(f) }),
	}
}

// provider is the scheme of a provider whose block is a B.
func provider[B any](make func(*B) token) inbound.Scheme {
	return func(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
		b := new(B)
		if diags := block.Decode(body, ctx, b); diags.HasErrors() {
			return nil, diags
		}
		return make(b).verification(), nil
	}
}

// Google is the body of a verify "google" block: a push of Pub/Sub with the token
// of a service account (docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions,
// facts of 2026-11). It says who sends and not what.
type Google struct {
	Audience []string `hcl:"audience"` // as the subscription has it; any of them
	Email    string   `hcl:"email"`    // of the service account
}

// Check implements [block.Checker].
func (b *Google) Check() error {
	var errs []error
	if len(b.Audience) == 0 {
		errs = append(errs, block.At("audience", "audience must say what the subscription's tokens are for"))
	}
	if b.Email == "" {
		errs = append(errs, block.At("email", "email must name the service account: everybody can have Google sign a token for this audience"))
	}
	return errors.Join(errs...)
}

func (b *Google) token(f *keys.Fetcher) token {
	return token{
		header: "Authorization", prefix: "Bearer ", alg: "RS256",
		from: jws.Fetched(f, "https://www.googleapis.com/oauth2/v3/certs"),
		expect: jws.Expect{
			Issuers: []string{"https://accounts.google.com", "accounts.google.com"}, Audience: b.Audience, Dated: true,
			Claims: map[string]string{"email": b.Email, "email_verified": "true"},
		},
	}
}

// Microsoft is the body of a verify "microsoft" block: a token of Entra ID, as
// Event Grid sends with events where it is told to
// (learn.microsoft.com/azure/event-grid/secure-webhook-delivery, facts of 2026-11).
// It says who sends and not what.
type Microsoft struct {
	Tenant   string   `hcl:"tenant"`   // id of the directory
	Audience []string `hcl:"audience"` // id or URI of the application that is called; any of them
	Client   string   `hcl:"client"`   // id of the application that calls
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Check implements [block.Checker].
func (b *Microsoft) Check() error {
	var errs []error
	if !guid.MatchString(b.Tenant) {
		errs = append(errs, block.At("tenant", "tenant must be the id of a directory, such as %q", "72f988bf-86f1-41af-91ab-2d7cd011db47"))
	}
	if !guid.MatchString(b.Client) {
		errs = append(errs, block.At("client", "client must be the id of the application that calls"))
	}
	if len(b.Audience) == 0 {
		errs = append(errs, block.At("audience", "audience must say which application the tokens are for"))
	}
	return errors.Join(errs...)
}

func (b *Microsoft) token(f *keys.Fetcher) token {
	return token{
		header: "Authorization", prefix: "Bearer ", alg: "RS256",
		from: jws.Fetched(f, "https://login.microsoftonline.com/"+b.Tenant+"/discovery/v2.0/keys"),
		expect: jws.Expect{
			Issuers:  []string{"https://login.microsoftonline.com/" + b.Tenant + "/v2.0", "https://sts.windows.net/" + b.Tenant + "/"},
			Audience: b.Audience, Client: b.Client, Dated: true,
		},
	}
}
