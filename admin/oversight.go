package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound/oversight"
)

func oversightRoutes() []route {
	path := api + "/inbox/reconcile"
	return []route{
		{method: http.MethodGet, path: api + "/inbox/oversight", id: "inbox_oversight", summary: "Which webhooks are silent, and whether providers still have their subscriptions.", answer: Oversight{}, serve: answering((*Server).oversight)},
		{method: http.MethodGet, path: path, id: "inbox_reconcile_show", summary: "How reconcile stands: what providers have named, and what of it had to be fetched.", answer: Reconciles{}, serve: answering((*Server).reconciles)},
		{method: http.MethodPost, path: path, id: "inbox_reconcile", summary: "Begin a run of reconcile now; 409 while one is under way. What comes of it is in manual of the answer to GET.", body: Reconcile{}, answer: Reconciles{}, serve: answering((*Server).reconcile)},
	}
}

// Reconcile asks for a run of reconcile.
type Reconcile struct {
	Webhook string `json:"webhook,omitempty"` // "" for all that have a reconcile block
	Since   string `json:"since,omitempty"`   // a duration such as 24h or 7d; "" as the next run would
	DryRun  bool   `json:"dry_run,omitempty"`
}

// Reconciles says how reconcile stands.
type Reconciles struct {
	Webhooks []ReconcileStanding `json:"webhooks"`
}

// ReconcileStanding says how reconcile of a webhook stands, of each account if they
// are asked for apart.
type ReconcileStanding struct {
	Webhook string           `json:"webhook"`
	Account string           `json:"account,omitempty"`
	Running bool             `json:"running"`
	Due     *time.Time       `json:"due,omitempty"`
	Current *ReconcileReport `json:"current,omitempty"` // a run that is not at its end
	Last    *ReconcileReport `json:"last,omitempty"`    // the last that ended by itself
	Manual  *ReconcileReport `json:"manual,omitempty"`  // the last that somebody asked for
	Total   ReconcileTally   `json:"total"`             // of the webhook, over all events that are kept
}

// ReconcileTally counts events. Expected is Received and Backfilled.
type ReconcileTally struct {
	Expected   int `json:"expected"`
	Received   int `json:"received"`
	Backfilled int `json:"backfilled"`
	Late       int `json:"late"`
	Unknown    int `json:"unknown_to_provider"`
}

// ReconcileReport is what a run has found.
type ReconcileReport struct {
	DryRun  bool           `json:"dry_run,omitempty"` // backfilled is what would have been
	Since   time.Time      `json:"since"`
	Until   time.Time      `json:"until"`
	Began   time.Time      `json:"began"`
	Ended   *time.Time     `json:"ended,omitempty"`
	Pages   int            `json:"pages"`
	Listed  int            `json:"listed"` // items of the lists, whether counted before or not
	Counts  ReconcileTally `json:"counts"` // of what no run before was told of
	Gone    int            `json:"gone,omitempty"`
	Expired int            `json:"expired,omitempty"` // times the provider did not know the position in its list any more
	Error   string         `json:"error,omitempty"`
}

func reconcileReport(r *oversight.Report) *ReconcileReport {
	if r == nil {
		return nil
	}
	return &ReconcileReport{
		DryRun: r.DryRun, Since: r.Since, Until: r.Until, Began: r.Began, Ended: some(r.Ended),
		Pages: r.Pages, Listed: r.Listed, Counts: ReconcileTally(r.Tally), Gone: r.Gone, Expired: r.Expired, Error: r.Error,
	}
}

// some is nil for no time.
func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// reconciles answers how reconcile stands.
func (s *Server) reconciles(r *http.Request) (any, error) {
	all, err := s.opt.Oversight.Standings(r.Context())
	if err != nil {
		return nil, fmt.Errorf("read how reconcile stands: %w", err)
	}
	out := Reconciles{Webhooks: []ReconcileStanding{}}
	for _, st := range all {
		out.Webhooks = append(out.Webhooks, ReconcileStanding{
			Webhook: st.Webhook, Account: st.Account, Running: st.Running, Due: some(st.Due),
			Current: reconcileReport(st.Current), Last: reconcileReport(st.Last), Manual: reconcileReport(st.Manual), Total: ReconcileTally(st.Total),
		})
	}
	return out, nil
}

// reconcile begins a run.
func (s *Server) reconcile(r *http.Request) (any, error) {
	var ask Reconcile
	if err := readJSON(r, &ask); err != nil {
		return nil, err
	}
	var since block.Duration
	if ask.Since != "" {
		if err := since.UnmarshalText([]byte(ask.Since)); err != nil || since.Duration <= 0 {
			return nil, refuse(http.StatusBadRequest, "Write it as 24h or 7d.", "since is not a duration")
		}
	}
	switch err := s.opt.Oversight.Reconcile(r.Context(), oversight.Ask{Webhook: ask.Webhook, Since: since.Duration, DryRun: ask.DryRun}); {
	case errors.Is(err, oversight.ErrNoReconcile) && ask.Webhook != "" && s.opt.Inbox.Set().Webhook(ask.Webhook) == nil:
		return nil, refuse(http.StatusNotFound, "postern status shows the webhooks.", "there is no webhook %q", ask.Webhook)
	case errors.Is(err, oversight.ErrNoReconcile):
		return nil, refuse(http.StatusNotFound, "Write a reconcile block into the webhook.", "%v", err)
	case errors.Is(err, oversight.ErrBusy):
		return nil, refuse(http.StatusConflict, "Ask again when it has ended.", "%v", err)
	case err != nil:
		return nil, fmt.Errorf("begin to reconcile: %w", err)
	}
	return s.reconciles(r)
}

// Oversight says which webhooks are silent, and how their subscriptions do.
func (c *Client) Oversight(ctx context.Context) (out Oversight, err error) {
	return out, c.call(ctx, http.MethodGet, "/inbox/oversight", nil, nil, &out)
}

// Reconciles says how reconcile stands.
func (c *Client) Reconciles(ctx context.Context) (out Reconciles, err error) {
	return out, c.call(ctx, http.MethodGet, "/inbox/reconcile", nil, nil, &out)
}

// Reconcile begins a run.
func (c *Client) Reconcile(ctx context.Context, ask Reconcile) (out Reconciles, err error) {
	return out, c.call(ctx, http.MethodPost, "/inbox/reconcile", nil, &ask, &out)
}

// Oversight says how webhooks do from the provider's side.
type Oversight struct {
	Silences      []Silence      `json:"silences"` // of webhooks with expect, as soon as they were looked at
	Subscriptions []Subscription `json:"subscriptions"`
}

// Silence says for how long a webhook has been silent, in seconds.
type Silence struct {
	Webhook string     `json:"webhook"`
	Since   time.Time  `json:"since"`
	Seconds float64    `json:"seconds"`
	Limit   float64    `json:"limit,omitempty"` // more is an alarm; 0 while the rhythm is not known yet
	Alarm   *time.Time `json:"alarm,omitempty"` // since when
}

// Subscription says how a subscription does.
type Subscription struct {
	Webhook string     `json:"webhook"`
	Account string     `json:"account,omitempty"`
	Status  string     `json:"status"` // active, expiring, missing or unclear
	Expires *time.Time `json:"expires,omitempty"`
	Checked time.Time  `json:"checked"`
	Renewed *time.Time `json:"renewed,omitempty"`
	Reason  string     `json:"reason,omitempty"`
}

// oversight answers how webhooks do.
func (s *Server) oversight(r *http.Request) (any, error) { return s.oversightNow(r.Context()) }

func (s *Server) oversightNow(ctx context.Context) (Oversight, error) {
	out := Oversight{Silences: []Silence{}, Subscriptions: []Subscription{}}
	quiet, err := s.opt.Oversight.Watched(ctx)
	if err != nil {
		return out, fmt.Errorf("read for how long webhooks are silent: %w", err)
	}
	for _, q := range quiet {
		out.Silences = append(out.Silences, Silence{q.Webhook, q.Since, time.Since(q.Since).Seconds(), q.Limit.Seconds(), some(q.Alarm)})
	}
	all, err := s.opt.Oversight.Subscriptions(ctx)
	if err != nil {
		return out, fmt.Errorf("read how subscriptions do: %w", err)
	}
	for _, q := range all {
		out.Subscriptions = append(out.Subscriptions, Subscription{q.Webhook, q.Account, string(q.Health), some(q.Expires), q.Checked, some(q.Renewed), q.Why})
	}
	return out, nil
}
