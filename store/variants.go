package store

import (
	"bytes"

	"github.com/postern-proxy/postern/inbound"
)

// variants is what is stored under the key of an event that arrives.
type variants struct {
	first   string // id of the first variant, "" if there is none
	listed  bool   // it came of a provider's list
	same    string // id of the variant with the body of the event, "" if there is none
	variant int    // of same
	self    bool   // the event is among them
	n, last int    // how many there are, and the last of them
}

// see takes note of one variant under the key of e.
func (k *variants) see(e *inbound.Event, id string, variant int, sum []byte, proof string) {
	k.n, k.last = k.n+1, max(k.last, variant)
	if variant == 1 {
		k.first, k.listed = id, readProof(proof).Backfilled()
	}
	k.self = k.self || id == e.ID
	if bytes.Equal(sum, e.SHA256[:]) {
		k.same, k.variant = id, variant
	}
}

// recognised says of a, if it repeats something or is one too many, what. The bodies of a list and of
// a push may differ: where either came of a list, the key alone decides.
func (k *variants) recognised(a *inbound.Arrival) bool {
	if a.Anew { // a copy: whatever is known
		a.ID, a.What = a.Event.ID, inbound.Duplicate
		return k.self
	}
	id, variant := k.same, k.variant
	if id == "" && (a.Listed || k.listed) {
		id, variant = k.first, 1
	}
	switch {
	case id == "" && k.n >= inbound.MaxVariants:
		a.ID, a.What = "", inbound.Surplus
		return true
	case id == "":
		return false
	}
	a.ID, a.What = id, repeated(a.Event, id, variant)
	a.Backfilled = k.listed && a.What == inbound.Duplicate
	return true
}
