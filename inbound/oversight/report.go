package oversight

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// KindReconcile is the kind of watch of reconcile.
const KindReconcile = "reconcile"

// Report is what a run of reconcile has found. Events that an earlier run was told
// of are not counted again. Expected is Received and Backfilled.
type Report struct {
	Webhook string    `json:"webhook"`
	Account string    `json:"account,omitempty"`
	DryRun  bool      `json:"dry_run,omitempty"` // Backfilled is what would have been, and all counts are of what the list says now
	Since   time.Time `json:"since"`             // events from here
	Until   time.Time `json:"until"`             // to here: younger ones may still be on their way
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"` // zero while it is under way
	Pages   int       `json:"pages"`
	Listed  int       `json:"listed"` // items of the lists, whether counted before or not
	Tally
	Gone    int    `json:"gone,omitempty"`    // named, not there, and not to be had any more
	Expired int    `json:"expired,omitempty"` // times the provider did not know the position in its list any more
	Error   string `json:"error,omitempty"`   // why it is not at its end
}

// state is what is kept between runs.
type state struct {
	First  time.Time `json:"first"`            // when reconcile was first in force
	Since  time.Time `json:"since"`            // what happened before was listed
	Cursor string    `json:"cursor,omitzero"`  // of the provider
	Due    time.Time `json:"due"`              // of the next run
	Sweep  *sweep    `json:"sweep,omitzero"`   // a run that is not at its end
	Last   *Report   `json:"last,omitzero"`    // the last one that is
	Manual *Report   `json:"manual,omitzero"`  // the last that a person asked for
	LateAt time.Time `json:"late_at,omitzero"` // until then it was counted what came late, by the store's clock

	Failures int `json:"failures,omitzero"` // in a row, without coming further
}

// sweep is one run through a list.
type sweep struct {
	Report Report   `json:"report"`
	Page   *address `json:"page,omitzero"` // the next; nil for the first
	Cursor string   `json:"cursor,omitzero"`
	Asks   string   `json:"asks,omitzero"` // see [inbound.Reconcile.Asks]

	// A page that is remembered, how many have been read since, and after how many
	// another one is: so a circle is found by the time that it was gone round twice,
	// however long it is (Brent's algorithm).
	Met   string `json:"met,omitzero"`
	Steps int    `json:"steps,omitzero"`
	Reach int    `json:"reach,omitzero"`
}

// met reports whether the page after this one, by their keys, is one that was read.
func (s *sweep) met(here, next string) bool {
	switch {
	case s.Met == "":
		s.Met, s.Steps, s.Reach = here, 0, 1
	case s.Steps == s.Reach:
		s.Met, s.Steps, s.Reach = here, 0, 2*s.Reach
	}
	s.Steps++
	return next == s.Met
}

// anew begins the list once more.
func (s *sweep) anew() { s.Page, s.Met, s.Steps, s.Reach = nil, "", 0, 0 }

func decodeState(value []byte) (*state, error) {
	s := new(state)
	if value == nil {
		return s, nil
	}
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("read what is kept of reconcile: %w", err)
	}
	return s, nil
}

// Standing says how reconcile of one webhook stands, and account if each has its
// own.
type Standing struct {
	Webhook string
	Account string
	Every   time.Duration
	Running bool
	Due     time.Time // of the next run; zero if there was none
	Current *Report   // a run that is not at its end, nil if there is none
	Last    *Report   // the last one that ended by itself
	Manual  *Report   // the last that a person asked for
	Total   Tally     // of the webhook, over all events that are kept
}

// Standings says how reconcile stands.
func (r *Runner) Standings(ctx context.Context) (all []Standing, err error) {
	rows, err := r.opt.Store.Watches(ctx, KindReconcile)
	if err != nil {
		return nil, err
	}
	total, err := r.opt.Store.Tally(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range r.opt.Inbox.Set().Webhooks() {
		if w.Reconcile == nil {
			continue
		}
		accounts, err := r.connected(ctx, w, w.Reconcile.Accounts)
		if err != nil {
			return nil, err
		}
		found := false
		for _, row := range rows {
			if row.Webhook != w.Name || !accounts[row.Account] {
				continue
			}
			s, err := decodeState(row.Value)
			if err != nil {
				return nil, err
			}
			found = true
			all = append(all, s.standing(w, row, total[w.Name]))
		}
		if !found {
			all = append(all, Standing{Webhook: w.Name, Every: w.Reconcile.Every.Duration, Total: total[w.Name]})
		}
	}
	return all, nil
}

func (s *state) standing(w *inbound.Webhook, row Row, total Tally) Standing {
	out := Standing{Webhook: w.Name, Account: row.Account, Every: w.Reconcile.Every.Duration, Running: row.Busy, Due: s.Due, Last: s.Last, Manual: s.Manual, Total: total}
	if s.Sweep != nil {
		out.Current = &s.Sweep.Report
	}
	return out
}
