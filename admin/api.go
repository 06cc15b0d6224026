package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/policy"
)

func (s *Server) status(r *http.Request) (any, error) { return s.statusNow(r.Context()), nil }

func (s *Server) statusNow(ctx context.Context) Status {
	run := s.opt.Running()
	st := Status{
		Version: s.opt.Version, Revision: s.opt.Revision, Started: s.since, Uptime: time.Since(s.since).Round(time.Millisecond).Seconds(),
		Generation: run.Generation, Loaded: run.Loaded, Refused: run.Refused, Listeners: append([]Listener{}, run.Listeners...),
		Replica: run.Replica, Store: run.Store, Replicas: append([]Replica{}, run.Replicas...),
	}
	for _, p := range s.opt.Inbox.Paused() {
		st.Paused = append(st.Paused, PausedTarget{p.Target, p.Since.UTC(), p.Until.UTC()})
	}
	st.Ready, st.Checks = s.check(ctx)
	return st
}

// reload loads the configuration anew, in the caller's time but not at its
// mercy: what was begun is finished.
func (s *Server) reload(r *http.Request) (any, error) {
	if err := s.opt.Reload(context.WithoutCancel(r.Context())); err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "Mend the files and reload again; postern validate shows each place.", "%v", err)
	}
	return s.statusNow(r.Context()), nil
}

func (s *Server) providers(*http.Request) (any, error) {
	return Providers{s.providersNow()}, nil
}

func (s *Server) providersNow() []Provider {
	list := []Provider{}
	set := s.opt.Policy()
	for _, name := range set.Providers() {
		list = append(list, provider(set.Provider(name)))
	}
	return list
}

func provider(p *policy.Provider) Provider {
	out := Provider{Name: p.Name, Hosts: []string{}, Listen: p.Listen, Endpoints: p.Labels(), Plans: []Plan{}, Keys: keys(p)}
	for _, h := range p.Hosts {
		out.Hosts = append(out.Hosts, string(h))
	}
	if p.Upstream != nil {
		out.Upstream = shown(p.Upstream)
	}
	for _, plan := range p.Plans() {
		stages := []Stage{}
		for _, st := range plan.Stages {
			stages = append(stages, Stage{st.Name, st.Summary})
		}
		out.Plans = append(out.Plans, Plan{plan.Route, stages})
	}
	return out
}

// keys lists the values of a provider's credentials. A route that has no
// credential of its own shares the provider's.
func keys(p *policy.Provider) []Key {
	list := []Key{}
	for _, plan := range p.Plans() {
		for _, st := range plan.Stages {
			if st.Keys == nil {
				continue
			}
			for _, k := range st.Keys() {
				key := Key{k.Kind, k.Route, k.Ref, k.Fingerprint, string(k.State), k.LastUsed}
				if !slices.Contains(list, key) {
					list = append(list, key)
				}
			}
		}
	}
	return list
}

// shown is a URL without what may be secret in it.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (s *Server) webhooks(r *http.Request) (any, error) {
	list, err := s.webhooksNow(r.Context())
	return Webhooks{list}, err
}

// webhooksNow lists the webhooks of the policy, and those that only have events
// left.
func (s *Server) webhooksNow(ctx context.Context) ([]Webhook, error) {
	stats, err := s.opt.Inbox.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("count the events: %w", err)
	}
	list := []Webhook{}
	for _, h := range s.opt.Inbox.Webhooks() {
		list = append(list, Webhook{Name: h.Name, Path: h.Path, Provider: h.Provider, Targets: h.Targets(), Counts: map[string]int{}})
	}
	for _, st := range stats {
		i := slices.IndexFunc(list, func(w Webhook) bool { return w.Name == st.Webhook })
		if i < 0 {
			i = len(list)
			list = append(list, Webhook{Name: st.Webhook, Targets: []string{}, Counts: map[string]int{}})
		}
		w := &list[i]
		w.Counts[string(st.State)] += st.Count
		if !st.Oldest.IsZero() && (w.Oldest.IsZero() || st.Oldest.Before(w.Oldest)) {
			w.Oldest = st.Oldest
		}
		w.strand(st)
	}
	slices.SortStableFunc(list, func(a, b Webhook) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// strand notes deliveries to a target that the policy does not have.
func (w *Webhook) strand(st inbound.Stat) {
	if st.Target == "" || slices.Contains(w.Targets, st.Target) {
		return
	}
	i := slices.IndexFunc(w.Stranded, func(s Stranded) bool { return s.Target == st.Target })
	if i < 0 {
		i = len(w.Stranded)
		w.Stranded = append(w.Stranded, Stranded{Target: st.Target})
	}
	w.Stranded[i].Count += st.Count
}
