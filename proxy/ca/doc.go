// Package ca is the certificate authority that applications are told to trust:
// its key, made on first start and kept on this machine, and the short-lived
// leaves it signs for the hosts that a policy names.
//
// Read authority.go (the authority and its folder), import.go (one that was made
// elsewhere), then leaf.go (what is minted and served).
package ca
