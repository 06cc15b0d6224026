// Package replica is about the processes that share a store: who this one is,
// which others live, and which one of them does what only one may do.
//
// Read replica.go for the words, roster.go for how replicas learn of each
// other, alone.go for work that one of them does for all, tenure.go for how that
// work ends with its lease.
package replica

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"time"
)

// A Replica is one life of one process.
type Replica struct {
	ID      string // unique; begins with Name
	Name    string // of the machine or pod
	Version string
	Started time.Time
	Seen    time.Time // its last beat, by the clock of where it was recorded
}

// Self is this process, with an id of its own. name is what people call it; the
// name of the host if it is empty.
func Self(name, version string) Replica {
	if name == "" {
		name, _ = os.Hostname()
	}
	if name == "" {
		name = "postern"
	}
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return Replica{ID: name + "-" + hex.EncodeToString(b[:]), Name: name, Version: version, Started: time.Now()}
}

// Members is a place in which replicas leave word of themselves.
type Members interface {
	// Beat records that self lives and returns all that did so during the last
	// within, self included, in any order.
	Beat(ctx context.Context, self Replica, within time.Duration) ([]Replica, error)
	// Leave removes a replica.
	Leave(ctx context.Context, id string) error
}

// Leases are named leases in a place that all replicas share, whose clock
// decides.
type Leases interface {
	// Hold takes or extends the lease called name for holder. held is false while
	// another has it. until is when the lease ends by the clock of this process,
	// counted from before the question was sent.
	Hold(ctx context.Context, name, holder string, lease time.Duration) (held bool, until time.Time, err error)
	// Yield ends the lease if holder has it.
	Yield(ctx context.Context, name, holder string) error
}
