package oversight

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// KindExpect is the kind of watch of expect.
const KindExpect = "expect"

// Silence says for how long a webhook has been silent.
type Silence struct {
	Webhook string
	Since   time.Time     // its newest event; if there is none, since when it is watched
	Limit   time.Duration // longer is an alarm; 0 while the rhythm is not known yet
	Alarm   time.Time     // when it was raised, zero if it is not
}

// vigil is what is kept of a silence.
type vigil struct {
	First  time.Time `json:"first"`
	Last   time.Time `json:"last,omitzero"`   // when the newest event came, which may be deleted by now
	Looked time.Time `json:"looked,omitzero"` // for the last time
	Alarm  time.Time `json:"alarm,omitzero"`
	Days   []day     `json:"days,omitempty"` // the newest last
}

// day is the longest silence that ended on a day.
type day struct {
	Date string        `json:"date"`
	Gap  time.Duration `json:"gap"`
}

// How a rhythm is learned: from the longest silence of each of the last days.
const (
	learnFrom  = 28 // days
	learnLeast = 7
	leastLimit = time.Minute
)

// watchDue looks for how long a webhook has been silent.
func (r *Runner) watchDue(ctx context.Context, w *inbound.Webhook, watch Watch) time.Time {
	now := time.Now()
	next := now.Add(pace(w.Expect))
	if err := r.listen(ctx, w, watch, now); err != nil && ctx.Err() == nil {
		r.opt.Observer.trouble("looking for silence", fmt.Errorf("webhook %q: %w", w.Name, err))
	}
	return next
}

// pace is how often it is looked.
func pace(e *inbound.Expect) time.Duration {
	if e.Every.Duration == 0 {
		return 10 * time.Second
	}
	return min(max(e.Every.Duration/20, tick), 10*time.Second)
}

func (r *Runner) listen(ctx context.Context, w *inbound.Webhook, watch Watch, now time.Time) error {
	value, ok, err := r.opt.Store.Take(ctx, watch, r.token, sweepLease)
	if err != nil || !ok {
		return err
	}
	v := new(vigil)
	if value != nil && json.Unmarshal(value, v) != nil {
		v = new(vigil)
	}
	if v.First.IsZero() {
		v.First = now
	}
	s := Silence{Webhook: w.Name, Since: v.First, Alarm: v.Alarm}
	last, err := r.newest(ctx, w.Name, v)
	if err != nil {
		_ = r.opt.Store.Keep(ctx, watch, r.token, value, 0)
		return err
	}
	s.Since = latest(s.Since, last)
	v.hear(last)
	v.Looked = now
	s.Limit = v.limit(w.Expect)
	r.judge(v, &s, now)
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return r.opt.Store.Keep(ctx, watch, r.token, text, 0)
}

// hear takes note of a silence that has ended. It is not told shorter ones than the
// time between two looks.
func (v *vigil) hear(newest time.Time) {
	before := v.Last
	v.Last = newest
	if before.IsZero() || !newest.After(before) {
		return
	}
	gap, date := newest.Sub(before), newest.UTC().Format(time.DateOnly)
	if n := len(v.Days); n > 0 && v.Days[n-1].Date == date {
		v.Days[n-1].Gap = max(v.Days[n-1].Gap, gap)
		return
	}
	v.Days = append(v.Days, day{date, gap})
	v.Days = v.Days[max(0, len(v.Days)-learnFrom):]
}

// limit is for how long a webhook may be silent: what is written, or what was
// learned if that is shorter or all that there is.
func (v *vigil) limit(e *inbound.Expect) time.Duration {
	every := e.Every.Duration
	if !e.Learn || len(v.Days) < learnLeast {
		return every
	}
	learned := max(time.Duration(float64(v.usual())*e.Factor), leastLimit)
	if every > 0 {
		return min(every, learned)
	}
	return learned
}

// usual is the third longest of the days' longest silences: a weekend comes again
// within four weeks, and up to two outages do not count.
func (v *vigil) usual() time.Duration {
	gaps := make([]time.Duration, len(v.Days))
	for i, d := range v.Days {
		gaps[i] = d.Gap
	}
	slices.Sort(gaps)
	return gaps[len(gaps)-3]
}

// judge raises the alarm of a silence once, and says when it is over.
func (r *Runner) judge(v *vigil, s *Silence, now time.Time) {
	long, changed := s.Limit > 0 && now.Sub(s.Since) > s.Limit, true
	switch {
	case long && v.Alarm.IsZero():
		v.Alarm, s.Alarm = now, now
	case !long && !v.Alarm.IsZero():
		v.Alarm, s.Alarm = time.Time{}, time.Time{}
	default:
		changed = false
	}
	r.mu.Lock()
	r.silences[s.Webhook] = *s
	r.mu.Unlock()
	if told := r.opt.Observer.Silent; told != nil && changed {
		told(*s, s.Alarm.IsZero())
	}
}

// arriving is how long it takes at most from when an event is received until it is
// stored, whatever the clocks of replicas say.
const arriving = 2 * time.Minute

// newest is when the newest event of a webhook was received that had come by
// itself, as far as v knows or has not looked at yet; zero if none had. However many
// are fetched while none comes, they are looked at once.
func (r *Runner) newest(ctx context.Context, webhook string, v *vigil) (time.Time, error) {
	f := inbound.Filter{Webhooks: []string{webhook}, Limit: 10}
	until := v.Looked.Add(-arriving)
	if v.Looked.After(time.Now()) { // the clock was ahead
		until = time.Time{}
	}
	for {
		page, err := r.opt.Inbox.List(ctx, f)
		if err != nil {
			return time.Time{}, err
		}
		for i := range page.Events {
			e := &page.Events[i].Event
			if e.Received.Before(until) {
				return v.Last, nil
			}
			if copied := e.Parent != "" && e.Variant > 1; !copied && !e.Proof.Backfilled() {
				return e.Received, nil
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return v.Last, nil
		}
		f.Limit = inbound.MaxPage
	}
}

// Watched says for how long webhooks have been silent, whichever process watches
// them. One that nobody has looked at yet is left out.
func (r *Runner) Watched(ctx context.Context) (all []Silence, err error) {
	rows, err := r.opt.Store.Watches(ctx, KindExpect)
	if err != nil {
		return nil, err
	}
	for _, w := range r.opt.Inbox.Set().Webhooks() {
		i := slices.IndexFunc(rows, func(row Row) bool { return row.Webhook == w.Name && row.Value != nil })
		if w.Expect == nil || i < 0 {
			continue
		}
		v := new(vigil)
		if err := json.Unmarshal(rows[i].Value, v); err != nil {
			return nil, fmt.Errorf("read what is kept of the silence of webhook %q: %w", w.Name, err)
		}
		last, err := r.newest(ctx, w.Name, v)
		if err != nil {
			return nil, err
		}
		all = append(all, Silence{Webhook: w.Name, Since: latest(v.First, last), Limit: v.limit(w.Expect), Alarm: v.Alarm})
	}
	return all, nil
}

// Silences says for how long webhooks have been silent, as far as this process
// watches.
func (r *Runner) Silences() (all []Silence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.opt.Inbox.Set().Webhooks() {
		if s, ok := r.silences[w.Name]; ok && w.Expect != nil {
			all = append(all, s)
		}
	}
	return all
}
