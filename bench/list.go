package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/queue"
	"github.com/postern-proxy/postern/store"
)

// listRole fills an inbox and measures what a person asks of it: the list by each filter, counts and totals. While it
// fills, it watches the memory.
func listRole(args []string) error {
	flags := flag.NewFlagSet("list", flag.ContinueOnError)
	events := flags.Int("events", 1_000_000, "events to fill the inbox with; 0 asks one that was filled today")
	where := flags.String("store", "", "URL of an empty store (default: a SQLite file)")
	dir := flags.String("dir", "", "folder for the SQLite file (default: the system's temporary folder)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *where == "" {
		folder, err := os.MkdirTemp(*dir, "bench-list")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		*where = "sqlite:" + folder + "/postern.db"
	}
	ctx := context.Background()
	db, err := store.Open(ctx, *where, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	f := &filling{box: db.Inbox(), n: *events, first: time.Now().Add(-month)}
	if err := f.fill(ctx); err != nil {
		return fmt.Errorf("fill the inbox: %w", err)
	}
	if err := db.Maintain(ctx); err != nil { // as it does every minute
		return err
	}
	return measureLists(ctx, f)
}

// filling is an inbox that is filled: a month of events, of two webhooks that have many and one that has few, and of a
// thousand accounts. One in a thousand is in quarantine, one in a thousand fails, one in ten thousand is still open. Only
// the first hundredth has types that begin with "legacy.", and failures with 410; only stripe has refunds.
type filling struct {
	box   inbound.Store
	n     int
	first time.Time
}

func (f *filling) event(i int) *inbound.Arrival {
	kind := [...]string{"invoice.paid", "charge.succeeded", "customer.updated", "payout.created"}[rand.IntN(4)]
	webhook := [...]string{"stripe", "shopify"}[rand.IntN(2)]
	switch {
	case f.early(i) && rand.IntN(2) == 0:
		kind = "legacy." + kind
	case webhook == "stripe" && rand.IntN(10) == 0:
		kind = "refund.created"
	}
	state, due := inbound.Received, time.Time{}
	switch rand.IntN(10_000) {
	case 0:
		kind = "account.deauthorized"
	case 1:
		webhook = "seldom"
	case 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
		state = inbound.Quarantined
	case 12:
		due = time.Now().Add(time.Hour)
	}
	misfit, reason := "", ""
	if state == inbound.Quarantined {
		misfit, reason = fmt.Sprintf("%04x", rand.IntN(40)), "data.object.amount: got string, want number"
	}
	body := fmt.Appendf(nil, `{"id":"evt_%d","type":%q,"data":{"object":{"id":"obj_%d","amount":%d,"text":"%0200d"}}}`, i, kind, rand.IntN(1000), i, i)
	return &inbound.Arrival{
		Event: &inbound.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Webhook: webhook, Account: fmt.Sprintf("acct_%d", rand.IntN(1000)), EventID: fmt.Sprintf("evt_%x", rand.Uint64()), Verified: true, Type: kind, Misfit: misfit,
			Received: f.first.Add(time.Duration(i) * (month / time.Duration(f.n))), Body: body, SHA256: sha256.Sum256(body), Size: len(body),
		},
		To: []inbound.Placement{{Target: webhook, State: state, Due: due, Reason: reason}},
	}
}

// early is whether the ith event is one of the first hundredth.
func (f *filling) early(i int) bool { return i < f.n/100 }

func (f *filling) fill(ctx context.Context) error {
	fmt.Printf("%10s  %10s  %12s  %10s\n", "events", "events/s", "heap in use", "resident")
	var wg sync.WaitGroup
	next := make(chan int)
	failed := make(chan error, 64)
	for range 32 {
		wg.Go(func() {
			for i := range next {
				if err := f.chunk(ctx, i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	began, steps := time.Now(), max(f.n/10, 1)
	for i := 0; i < f.n; i += perChunk {
		select {
		case next <- i:
		case err := <-failed:
			return err
		}
		if done := i + perChunk; done%steps < perChunk {
			fmt.Printf("%10d  %10.0f  %s  %s\n", done, float64(done)/time.Since(began).Seconds(), heapInUse(), resident())
		}
	}
	close(next)
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

const (
	perChunk = 100
	month    = 30 * 24 * time.Hour
)

// chunk stores some events and makes the moves of their lives.
func (f *filling) chunk(ctx context.Context, from int) error {
	all := make([]*inbound.Arrival, 0, perChunk)
	for i := from; i < min(from+perChunk, f.n); i++ {
		all = append(all, f.event(i))
	}
	if err := f.box.Insert(ctx, all...); err != nil {
		return err
	}
	items, _, err := f.box.Claim(ctx, map[string]int{"stripe": perChunk, "shopify": perChunk, "seldom": perChunk}, time.Hour)
	if err != nil {
		return err
	}
	for _, it := range items {
		m := inbound.Move{To: inbound.Applied, Attempt: 1, Status: 200, Reason: "200 OK"}
		switch rand.IntN(1000) {
		case 0:
			m = inbound.Move{To: inbound.Failed, Attempt: 1, Status: 422, Reason: "422 Unprocessable Entity", Detail: "no such customer"}
		case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10:
			if f.early(from) {
				m = inbound.Move{To: inbound.Failed, Attempt: 1, Status: 410, Reason: "410 Gone"}
			}
		}
		if err := f.box.Finish(ctx, it.Lease, m); err != nil && !errors.Is(err, queue.ErrStale) {
			return err
		}
	}
	return nil
}

func heapInUse() string {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprintf("%8.1f MiB", float64(m.HeapInuse)/(1<<20))
}

func resident() string {
	text, err := os.ReadFile("/proc/self/statm")
	var size, pages int
	if _, err2 := fmt.Sscan(string(text), &size, &pages); err != nil || err2 != nil {
		return "n/a"
	}
	return fmt.Sprintf("%6.1f MiB", float64(pages*os.Getpagesize())/(1<<20))
}

// questions are what is asked of a filled inbox. Some find nothing, or only what is old, in ways that no index has an answer
// for.
func (f *filling) questions() []question {
	end, middle := f.first.Add(month), f.first.Add(month/2)
	stripe, shopify, seldom := []string{"stripe"}, []string{"shopify"}, []string{"seldom"}
	return []question{
		{"(everything)", inbound.Filter{}},
		{"--webhook stripe", inbound.Filter{Webhooks: stripe}},
		{"--webhook seldom", inbound.Filter{Webhooks: seldom}},
		{"--provider (two webhooks)", inbound.Filter{Webhooks: []string{"shopify", "seldom"}}},
		{"--account acct_7", inbound.Filter{Account: "acct_7"}},
		{"--type invoice.paid", inbound.Filter{Type: "invoice.paid"}},
		{"--type account.deauthorized", inbound.Filter{Type: "account.deauthorized"}},
		{"--type 'account.*'", inbound.Filter{Type: "account.*"}},
		{"--type 'legacy.*' (old ones)", inbound.Filter{Type: "legacy.*"}},
		{"--type 'nothing.*'", inbound.Filter{Type: "nothing.*"}},
		{"--status applied", inbound.Filter{State: inbound.Applied}},
		{"--status failed", inbound.Filter{State: inbound.Failed}},
		{"--status quarantined", inbound.Filter{State: inbound.Quarantined}},
		{"--status received", inbound.Filter{State: inbound.Received}},
		{"--status retrying (none)", inbound.Filter{State: inbound.Retrying}},
		{"--since 1h", inbound.Filter{Since: end.Add(-time.Hour)}},
		{"--since 1h (none)", inbound.Filter{Since: end.Add(3 * time.Hour)}},
		{"--until 15d", inbound.Filter{Until: middle}},
		{"--since 16d --until 15d", inbound.Filter{Since: middle.Add(-24 * time.Hour), Until: middle}},
		{"--event-id (none)", inbound.Filter{EventID: "evt_none"}},
		{"--error unprocessable", inbound.Filter{Error: "unprocessable"}},
		{"--error gone (old ones)", inbound.Filter{Error: "gone"}},
		{"--error 'no such text'", inbound.Filter{Error: "no such text"}},
		{"--webhook seldom --type payout.created", inbound.Filter{Webhooks: seldom, Type: "payout.created"}},
		{"--webhook shopify --type refund.created (none)", inbound.Filter{Webhooks: shopify, Type: "refund.created"}},
		{"--webhook stripe --status failed --until 15d", inbound.Filter{Webhooks: stripe, State: inbound.Failed, Until: middle}},
		{"--webhook stripe --status retrying (none)", inbound.Filter{Webhooks: stripe, State: inbound.Retrying}},
		{"--webhook stripe --error 'no such text'", inbound.Filter{Webhooks: stripe, Error: "no such text"}},
		{"--account acct_7 --type 'account.*'", inbound.Filter{Account: "acct_7", Type: "account.*"}},
		{"--account acct_7 --status failed", inbound.Filter{Account: "acct_7", State: inbound.Failed}},
		{"--account acct_7 --error 'no such text'", inbound.Filter{Account: "acct_7", Error: "no such text"}},
		{"--type refund.created --error 'no such text'", inbound.Filter{Type: "refund.created", Error: "no such text"}},
		{"--type 'legacy.*' --status failed (old ones)", inbound.Filter{Type: "legacy.*", State: inbound.Failed}},
		{"--status applied --error 'no such text'", inbound.Filter{State: inbound.Applied, Error: "no such text"}},
		{"release: --status quarantined, of a group", inbound.Filter{State: inbound.Quarantined, Misfit: "0007", Oldest: true}},
		{"release: --error 'no such text'", inbound.Filter{Error: "no such text", Oldest: true}},
		{"release: --type refund.created --error 'no such text'", inbound.Filter{Type: "refund.created", Error: "no such text", Oldest: true}},
		{"--limit 1000", inbound.Filter{Limit: 1000}},
	}
}

type question struct {
	name string
	f    inbound.Filter
}

// measureLists asks every question a hundred times.
func measureLists(ctx context.Context, f *filling) error {
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nlist\tp50\tp99\tevents on the first page\tpages until something is found")
	for _, q := range f.questions() {
		var found int
		times, err := repeat(100, func() error {
			page, err := f.box.List(ctx, q.f)
			found = len(page.Events)
			return err
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", q.name, err)
		}
		pages, err := f.pages(ctx, q.f)
		if err != nil {
			return fmt.Errorf("list %s: %w", q.name, err)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\n", q.name, ms(times[50]), ms(times[99]), found, pages)
	}
	if err := measureTotals(ctx, f, tw); err != nil {
		return err
	}
	return tw.Flush()
}

// pages is on which page the first event is, or how many there are if none is found.
func (f *filling) pages(ctx context.Context, q inbound.Filter) (n int, err error) {
	for n = 1; ; n++ {
		page, err := f.box.List(ctx, q)
		if err != nil || len(page.Events) > 0 || page.Next == "" {
			return n, err
		}
		q.Cursor = page.Next
	}
}

func measureTotals(ctx context.Context, f *filling, tw *tabwriter.Writer) error {
	times, err := repeat(100, func() error { _, err := f.box.Stats(ctx); return err })
	if err != nil {
		return err
	}
	fmt.Fprintf(tw, "totals of all webhooks and states\t%s\t%s\t\n", ms(times[50]), ms(times[99]))
	var groups []inbound.Group
	times, err = repeat(100, func() (err error) { groups, err = f.box.Groups(ctx, inbound.Filter{}); return err })
	if err != nil {
		return err
	}
	fmt.Fprintf(tw, "groups\t%s\t%s\t%d\n", ms(times[50]), ms(times[99]), len(groups))
	for _, q := range []question{
		{"count of failed", inbound.Filter{State: inbound.Failed}},
		{"count of --error 'no such text'", inbound.Filter{Error: "no such text"}},
		{"count of --webhook stripe --error unprocessable", inbound.Filter{Webhooks: []string{"stripe"}, Error: "unprocessable"}},
		{"count of everything", inbound.Filter{}},
	} {
		var c inbound.Counted
		times, err := repeat(5, func() (err error) { c, err = f.box.Count(ctx, q.f); return err })
		if err != nil {
			return err
		}
		more := ""
		if c.More {
			more = "or more"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d %s\n", q.name, ms(times[2]), ms(times[4]), c.N, more)
	}
	return nil
}

// repeat does something n times, and returns how long it took, sorted.
func repeat(n int, do func() error) ([]time.Duration, error) {
	times := make([]time.Duration, n)
	for i := range times {
		began := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times, nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
