package policy

import (
	"regexp"
	"slices"
	"strings"
)

// whose are words in the name of a header that says who calls or on whose behalf,
// such as Authorization, X-Api-Key, Stripe-Account, Xero-Tenant-Id, Cookie.
var whose = map[string]bool{
	"authorization": true, "auth": true, "token": true, "apikey": true, "key": true, "secret": true, "password": true, "cookie": true, "session": true,
	"account": true, "subaccount": true, "tenant": true, "organization": true, "organisation": true, "org": true, "workspace": true, "project": true,
	"team": true, "company": true, "merchant": true, "customer": true, "shop": true, "site": true, "user": true, "behalf": true, "impersonate": true,
	"assertion": true, "context": true, "member": true, "seller": true, "environment": true, "sandbox": true,
}

// passing are words in the name of a header that is another for every attempt.
var passing = map[string]bool{"agent": true, "request": true, "trace": true, "span": true, "telemetry": true, "retry": true, "attempt": true, "idempotency": true, "websocket": true, "invocation": true}

// Behalf reports whether a header says who calls or on whose behalf, by its name.
// Calls that differ in it are never one call.
func Behalf(name string) bool {
	found := false
	for word := range strings.SplitSeq(strings.ToLower(name), "-") {
		if passing[word] {
			return false
		}
		found = found || whose[word]
	}
	return found
}

// secrets are words in the name of a parameter that is a credential.
var secrets = map[string]bool{"token": true, "apikey": true, "key": true, "secret": true, "password": true, "auth": true}

// BehalfQuery lists the parameters of a query by which the application itself says
// who calls, such as api_key, each with its value and in the order of names; not
// those that a credential of the policy replaces.
func BehalfQuery(raw string, slots []Slot) (pairs [][2]string) {
	for part := range parameters(raw) {
		name, value, _ := strings.Cut(part.text, "=")
		name = decoded(name)
		found := false
		for word := range strings.FieldsFuncSeq(strings.ToLower(name), func(c rune) bool { return c == '_' || c == '-' || c == '.' }) {
			if passing[word] {
				found = false
				break
			}
			found = found || secrets[word]
		}
		if found && !slices.Contains(slots, Slot{InQuery, name}) {
			pairs = append(pairs, [2]string{name, decoded(value)})
		}
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return pairs
}

// signed are the parameters of a signature that say whose it is: of AWS, RFC 9421
// and its drafts, OAuth 1.0, and Digest.
var signed = regexp.MustCompile(`(?i)\b(credential|keyid|oauth_consumer_key|oauth_token|username)="?([^",/&; ]+)`)

// varying are the parameters of a signature that differ from call to call, such as
// those of Hawk, EdgeGrid and WeChat Pay.
var varying = regexp.MustCompile(`(?i)\b(\w*signature|sig|mac|hash|\w*nonce\w*|\w*timestamp|ts)\s*=\s*("[^"]*"|[^",;& ]*)`)

// Principal is what of a credential stays the same from call to call: of a
// signature whose it is, of all others everything. Of a signature of unknown form
// it is all that does not differ from call to call: two who differ in anything else
// are never taken for one.
func Principal(value string) string {
	if low := strings.ToLower(value); !strings.Contains(low, "signature=") && !strings.Contains(low, "nonce=") {
		return value
	}
	var b strings.Builder
	for _, m := range signed.FindAllStringSubmatch(value, -1) {
		b.WriteString(strings.ToLower(m[1]) + "=" + m[2] + " ")
	}
	if b.Len() == 0 {
		return varying.ReplaceAllString(value, "$1")
	}
	return b.String()
}
