// Package catalog holds the built-in definitions of providers and of their
// webhooks, written in the policy language: one file per provider, each fact
// with its source and date. A policy starts from one by `catalog = "stripe"`.
package catalog

import "embed"

// Files are the definitions, `NAME.hcl`.
//
//go:embed *.hcl
var Files embed.FS
