// Package scheme lists every way of verifying webhooks that is made of code: a folder
// for each, and a line here. Those of other providers are data over them, in the
// catalogue.
package scheme

import (
	"maps"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/scheme/adyen"
	"github.com/postern-proxy/postern/inbound/scheme/apple"
	"github.com/postern-proxy/postern/inbound/scheme/basic"
	"github.com/postern-proxy/postern/inbound/scheme/circle"
	"github.com/postern-proxy/postern/inbound/scheme/ecdsa"
	"github.com/postern-proxy/postern/inbound/scheme/ed25519"
	"github.com/postern-proxy/postern/inbound/scheme/form"
	"github.com/postern-proxy/postern/inbound/scheme/graph"
	"github.com/postern-proxy/postern/inbound/scheme/hmac"
	"github.com/postern-proxy/postern/inbound/scheme/jws"
	"github.com/postern-proxy/postern/inbound/scheme/jwt"
	"github.com/postern-proxy/postern/inbound/scheme/mailgun"
	"github.com/postern-proxy/postern/inbound/scheme/mtls"
	"github.com/postern-proxy/postern/inbound/scheme/none"
	"github.com/postern-proxy/postern/inbound/scheme/paypal"
	"github.com/postern-proxy/postern/inbound/scheme/plaid"
	"github.com/postern-proxy/postern/inbound/scheme/rsa"
	"github.com/postern-proxy/postern/inbound/scheme/sns"
	"github.com/postern-proxy/postern/inbound/scheme/token"
)

// All are the schemes by label. Keys that are published are got by f; those that a
// provider's API gives out are asked for by way of ask.
func All(f *keys.Fetcher, ask keys.Egress) inbound.Schemes {
	all := inbound.Schemes{
		"hmac": hmac.Scheme, "token": token.Scheme, "basic": basic.Scheme, "none": none.Scheme, "ed25519": ed25519.Scheme, "ecdsa": ecdsa.Scheme, "rsa": rsa.Scheme, "mtls": mtls.Scheme,
		"sns": sns.Scheme(f, sns.Amazon()), "paypal": paypal.Scheme(f, paypal.PayPal()), "plaid": plaid.Scheme(f, ask), "circle": circle.Scheme(f, ask),
		"jws": jws.Scheme(f), "form": form.Scheme, "mailgun": mailgun.Scheme, "adyen": adyen.Scheme,
		"client_state": graph.Scheme(f), "apple": apple.Scheme(apple.Apple()),
	}
	maps.Copy(all, jwt.Schemes(f))
	return all
}
