package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/inbound"
)

// A route is one thing that can be asked for.
type route struct {
	method, path string
	open         bool // without the token; the zero value is not
	debug        bool // only where the admin block says so
	serve        func(*Server, http.ResponseWriter, *http.Request)

	// What follows describes the routes of the API in its document.
	id, summary string
	query       []param
	body        any // of the request: a value of its type
	status      int // of the answer; 0 is 200
	answer      any // a value of its type; []byte is a file
}

type param struct{ name, about string }

func (r *route) pattern() string { return r.method + " " + r.path }

const api = "/api/v1"

// isAPI reports whether the route is described.
func (r *route) isAPI() bool { return strings.HasPrefix(r.path, api) }

// routes lists everything that is served.
func routes() []route {
	get, post := http.MethodGet, http.MethodPost
	return append([]route{
		{method: get, path: "/livez", open: true, serve: (*Server).livez},
		{method: get, path: "/readyz", open: true, serve: (*Server).readyz},
		{method: get, path: "/startupz", open: true, serve: (*Server).startupz},
		{method: get, path: "/metrics", serve: (*Server).metrics},
		{method: get, path: "/{$}", serve: (*Server).page},
		{method: get, path: "/inbox", serve: (*Server).inboxPage},
		{method: get, path: "/inbox/{id}", serve: (*Server).eventPage},
		{method: get, path: "/style.css", serve: (*Server).style},
		{method: get, path: "/debug/pprof/{name...}", debug: true, serve: (*Server).debug},

		{method: get, path: api + "/openapi.json", id: "openapi", summary: "This document.", answer: map[string]any{}, serve: (*Server).openapi},
		{method: get, path: api + "/status", id: "status", summary: "What is running, and whether it is ready.", answer: Status{}, serve: answering((*Server).status)},
		{method: get, path: api + "/providers", id: "providers", summary: "The providers of the policy in force.", answer: Providers{}, serve: answering((*Server).providers)},
		{method: get, path: api + "/webhooks", id: "webhooks", summary: "The webhooks of the policy in force, and how their events stand.", answer: Webhooks{}, serve: answering((*Server).webhooks)},
		{method: post, path: api + "/reload", id: "reload", summary: "Load the configuration anew: whole, or not at all (422).", answer: Status{}, serve: answering((*Server).reload)},
	}, slices.Concat(inboxRoutes(), pullRoutes(), oversightRoutes(), outboxRoutes(), connectionRoutes())...)
}

func inboxRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	act := func(a inbound.Action, summary string) route {
		return route{
			method: post, path: api + "/inbox/" + string(a), id: "inbox_" + string(a), summary: summary, body: Act{}, answer: Acted{},
			serve: answering(func(s *Server, r *http.Request) (any, error) { return s.act(a, r) }),
		}
	}
	return []route{
		{method: get, path: api + "/inbox/events", id: "inbox_list", summary: "Stored events, the newest first, a page at a time.", query: filterParams, answer: EventPage{}, serve: answering((*Server).list)},
		{method: get, path: api + "/inbox/groups", id: "inbox_groups", summary: "What is in quarantine, by how it does not fit its schema: the largest groups first.", query: groupParams(), answer: Groups{}, serve: answering((*Server).groups)},
		{method: get, path: api + "/inbox/events/{id}", id: "inbox_show", summary: "One event, its deliveries and its audit trail.", answer: Event{}, serve: answering((*Server).show)},
		{method: get, path: api + "/inbox/events/{id}/raw", id: "inbox_raw", summary: "The body of one event, as it was received.", answer: []byte{}, serve: (*Server).raw},
		{method: get, path: api + "/inbox/feed", id: "inbox_feed", summary: "What happens: events that are stored and moves of their deliveries, after a cursor, as soon as something did.", query: followParams, answer: Notices{}, serve: answering((*Server).follow)},
		{method: get, path: api + "/inbox/export", id: "inbox_export", summary: "Stored events with their bodies and their audit trails, the newest first, a page at a time.", query: filterParams, answer: ExportedEvents{}, serve: answering((*Server).export)},
		act(inbound.ActReplay, "Deliver again what was applied or has failed: one page of the events that match."),
		act(inbound.ActRelease, "Deliver what is held back: one page of the events that match."),
		act(inbound.ActDiscard, "Never deliver what is not applied: one page of the events that match."),
	}
}

func connectionRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	one := api + "/connections/{provider}"
	return []route{
		{method: post, path: api + "/connect-sessions", id: "connect_session", summary: "A link by which a customer connects an account. It works once, for ten minutes.", body: NewConnectSession{}, status: http.StatusCreated, answer: ConnectSession{}, serve: creating((*Server).connectSession)},
		{method: get, path: api + "/connections", id: "connections_list", summary: "The connections of accounts, a page at a time.", query: connectionParams, answer: ConnectionPage{}, serve: answering((*Server).connections)},
		{method: get, path: one, id: "connections_show", summary: "One connection and its history.", query: pickParams, answer: Connection{}, serve: answering((*Server).connection)},
		{method: post, path: one + "/refresh", id: "connections_refresh", summary: "Have a new token asked for now.", query: pickParams, answer: Connection{}, serve: answering((*Server).refresh)},
		{method: post, path: one + "/revoke", id: "connections_revoke", summary: "End a connection here, and at the provider as soon as it can be.", query: pickParams, answer: Connection{}, serve: answering((*Server).revoke)},
		{method: post, path: api + "/connections/export", id: "connections_export", summary: "Connections, their tokens sealed under a key of the caller's: one page.", body: Export{}, answer: Exported{}, serve: answering((*Server).exported)},
		{method: post, path: api + "/connections/import", id: "connections_import", summary: "Bring connections in: each by itself.", body: Import{}, answer: Imported{}, serve: answering((*Server).imported)},
		{method: post, path: api + "/secrets/reseal", id: "secrets_reseal", summary: "Bring what is sealed under the newest key: one page.", body: Reseal{}, answer: Resealed{}, serve: answering((*Server).reseal)},
	}
}

var connectionParams = []param{
	{"provider", "Name of a provider."},
	{"account", "Account."},
	{"state", "Where the connection stands: pending, active, refreshing, needs_reconnect or revoked."},
	{"limit", "How many connections a page holds, 1 to 1000; 50 if not given."},
	{"cursor", "The next of the page before."},
}

var pickParams = []param{
	{"account", "Account; not given, the provider has to have one connection only."},
	{"credential", "Kind of the credential, and its route, where an account has several."},
}

var filterParams = []param{
	{"webhook", "Name of a webhook; may be given several times."},
	{"provider", "All webhooks of this provider."},
	{"account", "Account of the event."},
	{"type", "Type of the event; one that ends in * is the beginning of types."},
	{"event_id", "The provider's id of the event."},
	{"misfit", "Fingerprint of what does not fit its schema."},
	{"status", "State of any of its deliveries."},
	{"since", "Received at or after this time (RFC 3339)."},
	{"until", "Received before this time (RFC 3339)."},
	{"error", "Part of the reason of the last move of any of its deliveries."},
	{"limit", "How many events a page holds, 1 to 1000; 50 if not given."},
	{"cursor", "The next of the page before."},
}
