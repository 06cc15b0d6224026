package admin

import (
	"net/http"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// Status says what is running.
type Status struct {
	Version    string         `json:"version"`
	Revision   string         `json:"revision,omitempty"`
	Started    time.Time      `json:"started"`
	Uptime     float64        `json:"uptime_seconds"`
	Ready      bool           `json:"ready"`
	Checks     []CheckState   `json:"checks"`
	Generation int            `json:"config_generation"` // grows with each configuration that comes into force
	Loaded     time.Time      `json:"config_loaded"`
	Refused    string         `json:"config_refused,omitempty"` // why the last reload was refused
	Listeners  []Listener     `json:"listeners"`
	Replica    string         `json:"replica"` // id of this process
	Store      Store          `json:"store"`
	Paused     []PausedTarget `json:"paused,omitempty"` // targets of webhooks, by this process
	Replicas   []Replica      `json:"replicas"`         // live ones known from the store or from Redis, this one included
}

// PausedTarget is one that nothing is delivered to: it is down, or asked for it.
type PausedTarget struct {
	Target string    `json:"target"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // then one event shows whether it is back
}

// Store says where events are kept, and what that is worth.
type Store struct {
	Where   string `json:"where"`   // without a secret
	Promise string `json:"promise"` // what an acknowledged event survives
	Sure    bool   `json:"sure"`    // false if a crash of a machine may lose some
}

// Replica is one process that shares the store, or limits in Redis.
type Replica struct {
	ID      string    `json:"id"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Seen    time.Time `json:"last_seen,omitzero"` // by the clock of the store or of Redis; absent if neither is shared
}

// CheckState is one condition of being ready.
type CheckState struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
	Informs bool   `json:"informs,omitempty"` // that it is not OK is no reason not to be ready
}

// Listener is one address that is listened on.
type Listener struct {
	Name    string `json:"name"` // proxy, inbound, admin, or a provider's
	Address string `json:"address"`
}

// Providers lists the providers of the policy in force.
type Providers struct {
	Providers []Provider `json:"providers"`
}

// Provider is one of them.
type Provider struct {
	Name      string   `json:"name"`
	Hosts     []string `json:"hosts"`
	Upstream  string   `json:"upstream,omitempty"` // dialled instead
	Listen    string   `json:"listen,omitempty"`   // port of its own
	Endpoints []string `json:"endpoints"`          // labels of metrics
	Plans     []Plan   `json:"plans"`              // the first is the provider's, the others are routes
	Keys      []Key    `json:"credentials"`        // without their values
}

// Key is one value of a credential. The value itself is never shown.
type Key struct {
	Kind        string    `json:"kind"`                  // of the credential: bearer, basic, ...
	Route       string    `json:"route,omitempty"`       // whose own credential it is; absent: the provider's
	Reference   string    `json:"reference"`             // where it comes from: "[secret file:/run/secrets/stripe]"
	Fingerprint string    `json:"fingerprint,omitempty"` // the same in every process; absent if the value is short or missing
	State       string    `json:"state"`                 // in_use, standby, missing; replaced: none of the policy's any more
	LastUsed    time.Time `json:"last_used,omitzero"`    // absent if it was not since this process began
}

// Plan is what happens to the requests of a provider, or of one of its routes.
type Plan struct {
	Route  string  `json:"route,omitempty"`
	Stages []Stage `json:"stages"` // outermost first
}

// Stage is one step of a plan.
type Stage struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
}

// Webhooks lists the webhooks of the policy in force.
type Webhooks struct {
	Webhooks []Webhook `json:"webhooks"`
}

// Webhook is one of them. Counts are of events with a delivery in a state.
type Webhook struct {
	Name     string         `json:"name"`
	Path     string         `json:"path"`
	Provider string         `json:"provider,omitempty"`
	Targets  []string       `json:"targets"`
	Counts   map[string]int `json:"counts"`
	Oldest   time.Time      `json:"oldest_unapplied,omitzero"`
	Stranded []Stranded     `json:"stranded,omitempty"`
}

// Stranded is a target that the policy does not have any more, and how many deliveries
// wait until it is back.
type Stranded struct {
	Target string `json:"target"`
	Count  int    `json:"count"`
}

// EventPage is one page of events.
type EventPage struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"` // the cursor of the next page, "" on the last; a page that is not full may have a next one
}

// Event is one stored webhook, its body left out.
type Event struct {
	ID         string      `json:"id"` // Postern's own; also the correlation id in logs
	Webhook    string      `json:"webhook"`
	Account    string      `json:"account,omitempty"`
	EventID    string      `json:"event_id"`        // the provider's
	Variant    int         `json:"variant"`         // 2 or more: another body under a known id
	Items      int         `json:"items,omitempty"` // how many events it brought; such a one is never delivered
	Verified   bool        `json:"verified"`
	Weak       bool        `json:"weak,omitempty"`   // event_id is a digest of the body
	Parent     string      `json:"parent,omitempty"` // id of the event that this one is an item, or a copy, of
	Misfit     string      `json:"misfit,omitempty"` // fingerprint of what does not fit its schema
	Proof      Proof       `json:"proof,omitzero"`   // how it was verified
	Type       string      `json:"type,omitempty"`
	Key        string      `json:"key,omitempty"`
	Occurred   time.Time   `json:"occurred,omitzero"` // the provider's time
	Received   time.Time   `json:"received"`
	Size       int         `json:"size"` // of the body, in bytes
	SHA256     string      `json:"sha256,omitempty"`
	Emptied    time.Time   `json:"emptied,omitzero"` // when its headers and its body were removed; absent while they are there
	Header     http.Header `json:"header,omitempty"` // those that were kept
	Status     string      `json:"status"`
	Deliveries []Delivery  `json:"deliveries"`
	Trail      []Move      `json:"trail,omitempty"` // oldest first
}

// Proof is the record of a verification.
type Proof struct {
	Scheme  string    `json:"scheme,omitempty"`
	Key     string    `json:"key,omitempty"`    // fingerprint of the key that matched
	Signed  time.Time `json:"signed,omitzero"`  // when, by the signer's clock
	Partial bool      `json:"partial,omitzero"` // the signature does not cover the whole body
	Late    bool      `json:"late,omitzero"`    // the key should not be in use any more
}

// Delivery is where the delivery of an event to one target stands.
type Delivery struct {
	Target  string    `json:"target"`
	Status  string    `json:"status"`
	Origin  string    `json:"origin"`
	Attempt int       `json:"attempt"`
	Due     time.Time `json:"due,omitzero"` // the next attempt, or the end of the lease; otherwise the last move
	Reason  string    `json:"reason,omitempty"`
	// Stand is its place in its lane, absent if it has its turn: aside while it is
	// open and others of its key go before it, holding if it has failed and they wait
	// for a person.
	Stand string `json:"stand,omitempty"`
}

// Move is one line of the audit trail.
type Move struct {
	At       time.Time `json:"at"`
	Target   string    `json:"target,omitempty"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to"`
	Attempt  int       `json:"attempt,omitempty"`
	Status   int       `json:"status,omitempty"`           // the application's answer
	Duration float64   `json:"duration_seconds,omitempty"` // of the attempt
	Reason   string    `json:"reason,omitempty"`
	Detail   string    `json:"detail,omitempty"`  // the beginning of the application's answer
	By       string    `json:"by,omitempty"`      // who asked for it
	Replica  string    `json:"replica,omitempty"` // the process that made the move
}

// Filter selects events. Everything given has to match.
type Filter struct {
	IDs      []string  `json:"ids,omitempty"`
	Webhooks []string  `json:"webhooks,omitempty"`
	Provider string    `json:"provider,omitempty"`
	Account  string    `json:"account,omitempty"`
	Type     string    `json:"type,omitempty"` // one that ends in * is the beginning of types
	EventID  string    `json:"event_id,omitempty"`
	Misfit   string    `json:"misfit,omitempty"` // fingerprint of a group
	Status   string    `json:"status,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// Act asks for something to be done to the events that match: first to be
// counted (dry_run), then a page at a time.
type Act struct {
	Filter Filter `json:"filter,omitzero"`
	All    bool   `json:"all,omitempty"` // an empty filter is meant
	DryRun bool   `json:"dry_run,omitempty"`
	Force  bool   `json:"force,omitempty"` // of a release: also what does not fit its schema
	Limit  int    `json:"limit,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	// Began is that of the dry run: what has arrived or moved since is passed over, so
	// that what is interrupted can be begun anew.
	Began time.Time `json:"began,omitzero"`
	AsNew bool      `json:"as_new,omitempty"` // of a replay: as new events, with ids of their own
}

// Acted is what came of it.
type Acted struct {
	Matched int       `json:"matched"`           // events, of a dry run; otherwise 0
	More    bool      `json:"more,omitempty"`    // there are more than could be counted in time
	Began   time.Time `json:"began,omitzero"`    // of a dry run: when the operation begins
	Sample  []Event   `json:"sample,omitempty"`  // of a dry run: some of the events
	Events  int       `json:"events"`            // on this page; it may be none, while next goes on
	Moved   int       `json:"moved"`             // deliveries
	Skipped int       `json:"skipped"`           // deliveries in a state that it does not apply to, or that have moved since it began
	Emptied int       `json:"emptied,omitempty"` // deliveries that are not made because the body of the event was removed
	Misfits int       `json:"misfits,omitempty"` // of a release: events that still do not fit their schema, and stay
	Next    string    `json:"next,omitempty"`    // the cursor to go on with, "" when done
}

// Notices is what happened, in order.
type Notices struct {
	Notices []Notice `json:"notices"`
	Next    string   `json:"next"` // the cursor to go on with
}

// Notice is one thing that happened: an event was stored, or a delivery of it moved.
type Notice struct {
	At    time.Time `json:"at"`
	Event Event     `json:"event"`          // with the state that the move leads to
	Move  *Move     `json:"move,omitempty"` // absent of a new event
}

// ExportedEvents is one page of an export.
type ExportedEvents struct {
	Events []ExportedEvent `json:"events"`
	Next   string          `json:"next,omitempty"` // the cursor of the next page, "" on the last
}

// ExportedEvent is one event with its body and its trail.
type ExportedEvent struct {
	Event
	Body     string `json:"body"`               // empty if it was removed: emptied says when
	Encoding string `json:"encoding,omitempty"` // base64, if the body is no text
}

// event words what the inbox knows of an event.
func event(r *inbound.Record) Event {
	e := Event{
		ID: r.ID, Webhook: r.Webhook, Account: r.Account, EventID: r.EventID, Variant: r.Variant, Items: r.Items, Verified: r.Verified, Weak: r.Weak, Parent: r.Parent, Misfit: r.Misfit, Proof: Proof(r.Proof),
		Type: r.Type, Key: r.Key, Occurred: r.Occurred, Received: r.Received, Size: r.Size, SHA256: digest(r.SHA256), Emptied: r.Emptied,
		Header: r.Header, Status: string(r.Status), Deliveries: []Delivery{},
	}
	for _, d := range r.Deliveries {
		e.Deliveries = append(e.Deliveries, Delivery{d.Target, string(d.State), string(d.Origin), d.Attempt, d.Due, d.Reason, stand(d.Stand)})
	}
	for _, t := range r.Trail {
		e.Trail = append(e.Trail, move(&t))
	}
	return e
}

// stand words the place of a delivery in its lane.
func stand(s inbound.Standing) string {
	switch s {
	case inbound.Aside:
		return "aside"
	case inbound.Holding:
		return "holding"
	}
	return ""
}

// move words one line of the audit trail.
func move(t *inbound.Transition) Move {
	return Move{
		At: t.At, Target: t.Target, From: string(t.From), To: string(t.To), Attempt: t.Attempt, Status: t.Status,
		Duration: t.Took.Seconds(), Reason: t.Reason, Detail: t.Detail, By: t.By, Replica: t.Replica,
	}
}
