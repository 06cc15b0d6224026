package oversight

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// KindSubscription is the kind of watch of subscription.
const KindSubscription = "subscription"

// Health is how a subscription does.
type Health string

// How a subscription does.
const (
	Active   Health = "active"
	Missing  Health = "missing"  // the provider has it no more: no webhooks will come
	Expiring Health = "expiring" // it ends soon, and was not renewed
	Unclear  Health = "unclear"  // the provider could not be asked, or what it said says nothing
)

// Subscription says how the subscription of a webhook does.
type Subscription struct {
	Webhook string    `json:"webhook"`
	Account string    `json:"account,omitempty"`
	Health  Health    `json:"health"`
	Expires time.Time `json:"expires,omitzero"` // zero if it does not, or nobody knows
	Checked time.Time `json:"checked"`
	Renewed time.Time `json:"renewed,omitzero"` // last, by Postern
	Due     time.Time `json:"due"`              // of the next look
	Why     string    `json:"why,omitempty"`    // it is unclear, or was not renewed
}

// checkDue asks whether the provider still has a subscription, and renews it.
func (r *Runner) checkDue(ctx context.Context, w *inbound.Webhook, watch Watch) time.Time {
	value, ok, err := r.opt.Store.Take(ctx, watch, r.token, sweepLease)
	if err != nil || !ok {
		if err != nil && ctx.Err() == nil {
			r.opt.Observer.trouble("checking a subscription", err)
		}
		return time.Now().Add(10 * tick)
	}
	s := new(Subscription)
	if value != nil && json.Unmarshal(value, s) != nil {
		s = new(Subscription)
	}
	s.Webhook, s.Account = w.Name, watch.Account
	now := time.Now()
	if wait := waits(s.Due, now, w.Subscription.Every.Duration); wait > 0 {
		s.Due = now.Add(wait)
	} else {
		before := s.Health
		held, done := r.holding(ctx, watch)
		r.check(held, w, s)
		lost := held.Err() != nil
		done()
		if lost { // cut off, and no answer
			_ = r.opt.Store.Keep(context.WithoutCancel(ctx), watch, r.token, value, 0)
			return s.Due
		}
		s.Checked, s.Due = now, now.Add(w.Subscription.Every.Duration)
		if s.Health == Unclear {
			s.Due = now.Add(min(w.Subscription.Every.Duration, time.Minute))
		}
		if told := r.opt.Observer.Subscribed; told != nil && s.Health != before {
			told(*s, before)
		}
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = r.opt.Store.Keep(ctx, watch, r.token, text, 0)
	}
	if err != nil && ctx.Err() == nil {
		r.opt.Observer.trouble("checking a subscription", err)
	}
	return s.Due
}

// check asks, renews what is about to end, and asks again.
func (r *Runner) check(ctx context.Context, w *inbound.Webhook, s *Subscription) {
	b := w.Subscription
	if err := r.look(ctx, w, s); err != nil {
		s.Health, s.Why = Unclear, err.Error()
		return
	}
	s.Why = ""
	if s.Health != Active || s.Expires.IsZero() || time.Until(s.Expires) > b.Before.Duration {
		return
	}
	if b.Renew == nil {
		s.Health = Expiring
		return
	}
	if err := r.renew(ctx, w, s); err != nil {
		s.Health, s.Why = Expiring, "it could not be renewed: "+err.Error()
		return
	}
	s.Renewed = time.Now()
	if err := r.look(ctx, w, s); err != nil {
		s.Health, s.Why = Unclear, err.Error()
	} else if s.Health == Active && time.Until(s.Expires) <= b.Before.Duration {
		s.Health, s.Why = Expiring, "it was renewed, and ends no later"
	}
}

// look asks the provider what it has.
func (r *Runner) look(ctx context.Context, w *inbound.Webhook, s *Subscription) error {
	b, n := w.Subscription, &names{account: s.Account, params: w.Subscription.Params}
	to, err := target("check", b.Ask, n)
	if err == nil && to == "" {
		err = errors.New("check has no value")
	}
	if err != nil {
		return err
	}
	at := address{Method: http.MethodGet, Target: to, Header: headers(b.Header, n)}
	if at.Host, err = host(b.Host, n); err != nil {
		return err
	}
	n.response, err = r.ask(ctx, w.Provider, s.Account, &at)
	if err != nil && !(gone(err) && b.Active.Reads("response.status")) {
		return err
	}
	s.Health, s.Expires = Missing, time.Time{}
	if b.Active.True(n) {
		s.Health = Active
	}
	if b.Expires != nil && s.Health == Active {
		if v, ok := b.Expires.String(n); ok {
			if s.Expires = b.Unit.Parse(v); s.Expires.IsZero() && v != "" {
				return fmt.Errorf("expires yields %q, which is no time in unit %s", clip(v), b.Unit)
			}
		}
	}
	return nil
}

// renew asks the provider to let it last longer.
func (r *Runner) renew(ctx context.Context, w *inbound.Webhook, s *Subscription) error {
	b := w.Subscription
	n := &names{account: s.Account, params: b.Params, until: b.Unit.Format(time.Now().Add(b.Renew.For.Duration))}
	to, err := target("path", b.Renew.Path, n)
	if err == nil && to == "" {
		err = errors.New("path has no value")
	}
	if err != nil {
		return err
	}
	at := address{Method: b.Renew.Method, Target: to, Header: headers(b.Header, n)}
	if at.Host, err = host(b.Host, n); err != nil {
		return err
	}
	if b.Renew.JSON != nil {
		if at.JSON, err = object("json", b.Renew.JSON, n); err != nil {
			return err
		}
	}
	_, err = r.ask(ctx, w.Provider, s.Account, &at)
	return err
}

// Subscriptions says how subscriptions do, as it was last asked.
func (r *Runner) Subscriptions(ctx context.Context) (all []Subscription, err error) {
	rows, err := r.opt.Store.Watches(ctx, KindSubscription)
	if err != nil {
		return nil, err
	}
	for _, w := range r.opt.Inbox.Set().Webhooks() {
		if w.Subscription == nil {
			continue
		}
		accounts, err := r.connected(ctx, w, w.Subscription.Accounts)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Webhook != w.Name || !accounts[row.Account] || row.Value == nil {
				continue
			}
			s := Subscription{}
			if err := json.Unmarshal(row.Value, &s); err != nil {
				return nil, fmt.Errorf("read what is kept of the subscription of webhook %q: %w", w.Name, err)
			}
			all = append(all, s)
		}
	}
	return all, nil
}
