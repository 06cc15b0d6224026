// Package catalog holds the built-in definitions of providers and of their
// webhooks, written in the policy language: one file per provider, each fact
// with its source and date. A policy starts from one by `catalog = "stripe"`.
//
// The credentials of an entry are offers: what a provider wants of each kind that
// it takes, without what is the user's. An offer counts where a policy names its
// kind. What could not be looked up at the provider says so.
//
// testdata has a policy and tests for each entry: with keys and signatures in the
// folder itself, with tokens of the application's own in services, with tokens
// that people grant in accounts. requests.txt there is what is said to the
// providers' authorization servers.
package catalog

import "embed"

// Files are the definitions, `NAME.hcl`.
//
//go:embed *.hcl
var Files embed.FS
