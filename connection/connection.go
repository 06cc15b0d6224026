// Package connection keeps the grants by which Postern may act for an account
// at a provider: their tokens, sealed; their states; their renewal, once for
// all goroutines and processes.
//
// Read connection.go for the words, store.go for what a store has to promise,
// moves.go for the states and how one follows another; then sealed.go for how
// tokens are kept, keeper.go for how a call gets one, renew.go for how a new one
// is made, and revoke.go for the end.
package connection

import (
	"errors"
	"slices"
	"time"
)

// A Key names one connection. Account is "" where the provider has only one.
// Credential is the kind of credential that it serves, and the route if that has
// one of its own.
type Key struct{ Provider, Account, Credential string }

// A State is where a connection stands. docs/connections.md has the diagram.
type State string

// The states.
const (
	Pending        State = "pending"         // asked for, never granted
	Active         State = "active"          // there is a token, or one can be had
	Refreshing     State = "refreshing"      // a new token is being asked for, or was when the process that did so died
	NeedsReconnect State = "needs_reconnect" // the grant is lost: a person has to connect again
	Revoked        State = "revoked"         // ended here, or by the customer at the provider
)

// States lists every state, in the order of the documentation.
func States() []State { return []State{Pending, Active, Refreshing, NeedsReconnect, Revoked} }

// Valid reports whether s is one of the states.
func (s State) Valid() bool { return slices.Contains(States(), s) }

// A Row is a connection as a store keeps it. Times are zero where there is none.
type Row struct {
	Key
	State      State
	Fence      int64 // grows with every write; 0 is a row that is not stored yet
	Generation int64 // grows with every token

	// Sealed. What they are bound to is in sealed.go.
	Access, Refresh, Extra []byte

	Hosts   []string // to which the tokens may go, as the policy said when they were sealed
	BaseURL string   // where the account's API is, if the provider said so; "" is anywhere in Hosts
	Needs   []string // scopes that were asked for
	Granted []string // scopes that were given

	Obtained      time.Time // when the token was
	Expiry        time.Time // of the access token; zero is unknown
	RefreshExpiry time.Time // of the refresh token

	Tries     int       // renewals in a row whose end is not known
	Failures  int       // renewals in a row that failed
	Failure   string    // why the last one did, in words that hold no secret
	RevokeDue time.Time // when the provider is to be told that it is revoked

	Holder string    // who renews it now
	Until  time.Time // by the clock of the store

	Created, Changed time.Time // by the clock of the store; set by it
	Now              time.Time // when the row was read, by the clock of the store; not stored
}

// A Move is one line of a connection's history.
type Move struct {
	At         time.Time // by the clock of the store; set by it
	From, To   State     // From is "" for a new one
	Generation int64
	Reason     string // in words that hold no secret
	Failed     bool   // it is the end of a renewal that failed; not stored
	By         string // a person, an event, a call: who asked for it
	Replica    string // the process that made the move; set by the store
}

// A Filter selects connections. Empty fields match everything.
type Filter struct {
	Provider, Account string
	State             State
	RevokeBefore      time.Time // only those whose RevokeDue is set and not after this
	After             Key       // those behind this one, in the order of Provider, Account, Credential
	Limit             int       // 0 is all
}

// A Stat is how many connections of a provider are in a state.
type Stat struct {
	Provider string
	State    State
	Count    int
}

// A Ticket is something that can be used once, before it expires: a link, an
// authorization that is under way.
type Ticket struct {
	ID      []byte // SHA-256 of what its bearer has
	Sealed  []byte // what it stands for
	Expires time.Time
}

var (
	// ErrUnknown says that there is no such connection or ticket.
	ErrUnknown = errors.New("there is no such connection")
	// ErrStale says that a row was changed by somebody else since it was read.
	ErrStale = errors.New("the connection was changed by somebody else")
)
