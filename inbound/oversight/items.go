package oversight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// item is one item of a list.
type item struct {
	raw   []byte
	names names
	event *inbound.Event // as far as the list tells
	id    string         // of the stored event, "" if there is none
}

// itemsOf reads the items of a page, each byte for byte as it came.
func itemsOf(v block.Value) (all [][]byte, err error) {
	if v.Kind == block.Null {
		return nil, errors.New("events has no value: the answer is no list")
	}
	list := gjson.Parse(v.Str)
	if v.Kind != block.JSON || !list.IsArray() {
		return nil, errors.New("events yields no list")
	}
	list.ForEach(func(_, e gjson.Result) bool {
		all = append(all, []byte(e.Raw))
		return true
	})
	return all, nil
}

// listed is an item as an event: what it is called, and body if that is there.
func listed(b *inbound.Reconcile, n *names, body []byte) *inbound.Listed {
	l := &inbound.Listed{Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Unit: inbound.RFC3339}
	e := b.Event
	if e == nil {
		return l
	}
	for name, values := range headers(e.Header, n) {
		l.Header[name] = values
	}
	l.Unit = e.Unit
	for _, x := range []struct {
		from *block.Expr
		to   *block.Value
	}{{e.ID, &l.ID}, {e.Type, &l.Type}, {e.Account, &l.Account}, {e.Time, &l.Time}, {e.Key, &l.Key}} {
		if x.from == nil {
			continue
		}
		if v, err := x.from.Eval(n); err == nil && v.Kind != block.Null {
			*x.to = v
		} else {
			*x.to = text("") // the list says that there is none
		}
	}
	return l
}

// body is that of the event of an item.
func (it *item) body(b *inbound.Reconcile) ([]byte, error) {
	if b.Body == nil {
		return it.raw, nil
	}
	v, err := b.Body.Eval(&it.names)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	s, ok := v.Text()
	if !ok {
		return nil, errors.New("body has no value")
	}
	return []byte(s), nil
}

// understand makes items of what a page holds, and drops those that are not asked for:
// too old, too young to be missing, of other types, twice on the page. An item that
// says no id is an error: it could be anything.
func (p *pass) understand(raw [][]byte, answered *answer) (items []*item, err error) {
	b, seen := p.hook.Reconcile, map[Key]bool{}
	for _, text := range raw {
		it := &item{raw: text, names: p.names}
		it.names.response, it.names.item = answered, text
		body := text
		if b.Get == nil {
			if body, err = it.body(b); err != nil {
				return nil, err
			}
		}
		it.event = p.r.opt.Inbox.Arrival(p.hook, listed(b, &it.names, body)).Event
		key := Key{it.event.Account, it.event.EventID}
		switch at := it.event.Occurred; {
		case it.event.Weak:
			return nil, fmt.Errorf("an item of the list has no id: %s", clip(string(text)))
		case p.outside(at), !b.Covers(it.event.Type), seen[key]:
			continue
		}
		seen[key] = true
		items = append(items, it)
	}
	return items, nil
}

// outside reports whether something happened at a time that a run is not about. A
// list that goes on from a position of the provider's names each thing once: what is
// passed over there never comes again, however young it is, and what comes after the
// position is new, however old it says that it is.
func (p *pass) outside(at time.Time) bool {
	r := &p.sweep.Report
	switch {
	case at.IsZero():
		return false
	case p.hook.Reconcile.Cursor != nil:
		return p.names.cursor == "" && at.Before(p.state.First) && !p.manual
	}
	return at.Before(r.Since) || at.After(r.Until)
}

// fill stores what is missing of the items, the oldest first, and counts. A list that
// goes on from a position is in its order already.
func (p *pass) fill(ctx context.Context, items []*item) error {
	keys := make([]Key, len(items))
	for i, it := range items {
		keys[i] = Key{it.event.Account, it.event.EventID}
	}
	ids, err := p.r.opt.Store.Known(ctx, p.hook.Name, keys)
	if err != nil {
		return err
	}
	var missing []*item
	for i, it := range items {
		if it.id = ids[i]; it.id == "" {
			missing = append(missing, it)
		}
	}
	if p.sweep.Report.DryRun {
		p.foretell(keys, ids)
		return nil
	}
	if p.hook.Reconcile.Cursor == nil {
		slices.SortStableFunc(missing, func(a, b *item) int { return a.event.Occurred.Compare(b.event.Occurred) })
	}
	var arrivals []*inbound.Arrival
	for _, it := range missing {
		a, err := p.arrival(ctx, it)
		if err != nil {
			return err
		}
		if a != nil {
			arrivals = append(arrivals, a)
		}
	}
	for chunk := range slices.Chunk(arrivals, insertAtOnce) {
		if err := p.insert(ctx, chunk); err != nil {
			return err
		}
	}
	return p.name(ctx, items, arrivals)
}

// foretell counts what a run that only looks would find, each thing once: lists that
// move on while they are read name some twice.
func (p *pass) foretell(keys []Key, ids []string) {
	t := &p.sweep.Report.Tally
	for i, key := range keys {
		if p.looked[key] {
			continue
		}
		p.looked[key], p.seen[ids[i]] = true, true
		if t.Expected++; ids[i] == "" {
			t.Backfilled++
		} else {
			t.Received++
		}
	}
}

// insertAtOnce is how many events are stored together, insertWithin how long that
// may take.
const (
	insertAtOnce = 100
	insertWithin = 30 * time.Second
)

func (p *pass) insert(ctx context.Context, all []*inbound.Arrival) error {
	ctx, cancel := context.WithTimeout(ctx, insertWithin)
	defer cancel()
	return p.r.opt.Inbox.Backfill(ctx, p.hook, all)
}

// arrival is what an item that is missing brings; nil if the provider has no more
// of it than its name.
func (p *pass) arrival(ctx context.Context, it *item) (*inbound.Arrival, error) {
	b := p.hook.Reconcile
	if b.Get != nil {
		to, err := target("get", b.Get, &it.names)
		if err == nil && to == "" {
			err = errors.New("get has no value")
		}
		if err != nil {
			return nil, err
		}
		at := address{Method: http.MethodGet, Target: to, Header: headers(b.Header, &it.names)}
		if at.Host, err = host(b.Host, &it.names); err != nil {
			return nil, err
		}
		it.names.response, err = p.r.ask(ctx, p.hook.Provider, p.watch.Account, &at)
		if gone(err) {
			p.sweep.Report.Gone++
			p.r.opt.Observer.trouble("reconciling", fmt.Errorf("webhook %q: event %q was not received, and the provider has it no more", p.hook.Name, it.event.EventID))
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("fetch event %q: %w", it.event.EventID, err)
		}
	}
	body, err := it.body(b)
	if err != nil {
		return nil, fmt.Errorf("event %q: %w", it.event.EventID, err)
	}
	a := p.r.opt.Inbox.Arrival(p.hook, listed(b, &it.names, body))
	a.Event.Occurred = cmp.Or(a.Event.Occurred, it.event.Occurred)
	return a, nil
}

// number is that of the page that is read, of all pages of all runs: when the run
// began, and how many pages it has read since. If it is cut off before its place is
// written down, the page has the same one when it is read again.
func (p *pass) number() int64 {
	r := &p.sweep.Report
	return r.Began.UnixMicro() + int64(r.Pages)
}

// name takes note of what the list has named: what was known and what is stored.
func (p *pass) name(ctx context.Context, items []*item, arrivals []*inbound.Arrival) error {
	var ids []string
	for _, it := range items {
		if it.id != "" {
			ids = append(ids, it.id)
		}
	}
	for _, a := range arrivals {
		ids = append(ids, a.ID)
	}
	slices.Sort(ids)
	named, err := p.r.opt.Store.Name(ctx, p.number(), slices.Compact(ids))
	if err != nil {
		return err
	}
	t, before := &p.sweep.Report.Tally, p.sweep.Report.Tally
	for _, n := range named {
		switch {
		case !n.First:
		case n.Backfilled:
			t.Expected, t.Backfilled = t.Expected+1, t.Backfilled+1
		default:
			t.Expected, t.Received = t.Expected+1, t.Received+1
		}
	}
	if told := p.r.opt.Observer.Named; told != nil && t.Expected > before.Expected {
		told(p.hook.Name, t.Expected-before.Expected, t.Backfilled-before.Backfilled)
	}
	return nil
}
