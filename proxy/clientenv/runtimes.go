package clientenv

import (
	"fmt"
	"slices"
	"strings"
)

// Runtime is one family of programs that Vars can prepare.
type Runtime struct {
	Name    string // as Options.Only has it
	Planned bool   // no variables yet; Options.Only refuses it
	Gap     string // what goes past Postern or distrusts it all the same; empty if nothing is known
}

// Runtimes lists what is covered and what is not, in the order in which help texts should show it.
func Runtimes() []Runtime {
	return []Runtime{
		{Name: "curl"},
		{Name: "git"},
		{Name: "python", Gap: "aiohttp needs ClientSession(trust_env=True) and urllib3's PoolManager a ProxyManager in code; " +
			"stripe-python trusts its own bundle until stripe.ca_bundle_path is set"},
		{Name: "node", Gap: "http2.connect, sockets that bypass agents (ws without an agent), undici dispatchers made by the " +
			"application; the whole list heads node/hook.cjs"},
		{Name: "go", Gap: "an http.Transport without Proxy goes direct, and so does every call to localhost"},
		{Name: "ruby", Gap: "calls to localhost go direct; stripe-ruby trusts its own bundle until Stripe.ca_bundle_path is set"},
		{Name: "deno"},
		{Name: "rust", Gap: "a reqwest built with bundled webpki roots trusts no other CA"},
		{Name: "perl"},
		{Name: "elixir"},
		{Name: "aws"},
		{Name: "gcloud"},
		{Name: "grpc"},
		{Name: "nix"},
		{Name: "java", Planned: true, Gap: "Java reads no proxy variables: it needs -Dhttps.proxyHost, -Dhttps.proxyPort, the same " +
			"for http, and a key store by -Djavax.net.ssl.trustStore"},
		{Name: "php", Planned: true, Gap: "PHP reads the proxy variables, but a CA only from curl.cainfo and openssl.cafile in php.ini"},
	}
}

// checkOnly refuses names that Runtimes does not have, and those that are only planned.
func checkOnly(only []string) error {
	all := Runtimes()
	for _, name := range only {
		i := slices.IndexFunc(all, func(r Runtime) bool { return r.Name == name })
		if i < 0 {
			return fmt.Errorf("unknown runtime %q: known are %s", name, strings.Join(covered(all), ", "))
		}
		if all[i].Planned {
			return fmt.Errorf("runtime %q is not covered yet: %s", name, all[i].Gap)
		}
	}
	return nil
}

func covered(all []Runtime) []string {
	var names []string
	for _, r := range all {
		if !r.Planned {
			names = append(names, r.Name)
		}
	}
	return names
}
