package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// Groups are what is in quarantine, by how it does not fit.
type Groups struct {
	Groups []Group `json:"groups"`
}

// Group is one way in which events of a type do not fit their schema.
type Group struct {
	Webhook string    `json:"webhook"`
	Type    string    `json:"type,omitempty"`
	Misfit  string    `json:"misfit"` // its fingerprint, to select them by
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Example string    `json:"example"` // id of the newest
	Reason  string    `json:"reason"`  // the places that do not fit
}

// groupParams are those of a list that narrow groups down: there are no pages.
func groupParams() (all []param) {
	for _, p := range filterParams {
		if !slices.Contains([]string{"status", "limit", "cursor"}, p.name) {
			all = append(all, p)
		}
	}
	return all
}

// groups answers the groups that match.
func (s *Server) groups(r *http.Request) (any, error) {
	if err := onlyKnown(r.URL.Query(), groupParams()); err != nil {
		return nil, err
	}
	f, err := s.listFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	out, err := s.groupsNow(r.Context(), f)
	return Groups{Groups: out}, err
}

func (s *Server) groupsNow(ctx context.Context, f inbound.Filter) ([]Group, error) {
	found, err := s.opt.Inbox.Groups(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("group the events: %w", err)
	}
	out := []Group{}
	for _, g := range found {
		out = append(out, Group{g.Webhook, g.Type, g.Misfit, g.Count, g.First, g.Last, g.Example, g.Reason})
	}
	return out, nil
}

// Groups returns the groups of events in quarantine that match; f.IDs and f.Status
// are not looked at.
func (c *Client) Groups(ctx context.Context, f Filter) (out Groups, err error) {
	q := url.Values{}
	for name, value := range map[string]string{
		"provider": f.Provider, "account": f.Account, "type": f.Type, "event_id": f.EventID, "misfit": f.Misfit, "error": f.Error,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	q["webhook"] = slices.Clone(f.Webhooks)
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	return out, c.call(ctx, http.MethodGet, "/inbox/groups", q, nil, &out)
}
