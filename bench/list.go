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
	events := flags.Int("events", 1_000_000, "events to fill the inbox with")
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
	f := &filling{box: db.Inbox(), n: *events, first: time.Now().Add(-30 * 24 * time.Hour)}
	if err := f.fill(ctx); err != nil {
		return fmt.Errorf("fill the inbox: %w", err)
	}
	return measureLists(ctx, f)
}

// filling is an inbox that is filled: a month of events, of two webhooks that have many and one that has few, and of a
// thousand accounts. One in a thousand is in quarantine, one in a thousand fails, one in ten thousand is still open.
type filling struct {
	box   inbound.Store
	n     int
	first time.Time
}

func (f *filling) event(i int) *inbound.Arrival {
	kind := [...]string{"invoice.paid", "charge.succeeded", "customer.updated", "payout.created"}[rand.IntN(4)]
	webhook := [...]string{"stripe", "shopify"}[rand.IntN(2)]
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
	body := fmt.Appendf(nil, `{"id":"evt_%d","type":%q,"data":{"object":{"id":"obj_%d","amount":%d,"text":"%0200d"}}}`, i, kind, rand.IntN(1000), i, i)
	return &inbound.Arrival{
		Event: &inbound.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Webhook: webhook, Account: fmt.Sprintf("acct_%d", rand.IntN(1000)), EventID: fmt.Sprintf("evt_%x", rand.Uint64()), Verified: true, Type: kind,
			Received: f.first.Add(time.Duration(i) * 30 * 24 * time.Hour / time.Duration(f.n)), Body: body, SHA256: sha256.Sum256(body), Size: len(body),
		},
		To: []inbound.Placement{{Target: webhook, State: state, Due: due, Reason: map[inbound.State]string{inbound.Quarantined: "data.object.amount: got string, want number"}[state]}},
	}
}

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

const perChunk = 100

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
		if rand.IntN(1000) == 0 {
			m = inbound.Move{To: inbound.Failed, Attempt: 1, Status: 422, Reason: "422 Unprocessable Entity", Detail: "no such customer"}
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

// measureLists asks every question a hundred times.
func measureLists(ctx context.Context, f *filling) error {
	middle := f.first.Add(15 * 24 * time.Hour)
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nlist\tp50\tp99\tevents on the first page")
	for _, q := range []struct {
		name string
		f    inbound.Filter
	}{
		{"(everything)", inbound.Filter{}},
		{"--webhook stripe", inbound.Filter{Webhooks: []string{"stripe"}}},
		{"--webhook seldom", inbound.Filter{Webhooks: []string{"seldom"}}},
		{"--provider (two webhooks)", inbound.Filter{Webhooks: []string{"shopify", "seldom"}}},
		{"--account acct_7", inbound.Filter{Account: "acct_7"}},
		{"--type invoice.paid", inbound.Filter{Type: "invoice.paid"}},
		{"--type account.deauthorized", inbound.Filter{Type: "account.deauthorized"}},
		{"--type 'account.*'", inbound.Filter{Type: "account.*"}},
		{"--status applied", inbound.Filter{State: inbound.Applied}},
		{"--status failed", inbound.Filter{State: inbound.Failed}},
		{"--status quarantined", inbound.Filter{State: inbound.Quarantined}},
		{"--status received", inbound.Filter{State: inbound.Received}},
		{"--status retrying (none)", inbound.Filter{State: inbound.Retrying}},
		{"--since 1h", inbound.Filter{Since: time.Now().Add(-time.Hour)}},
		{"--until 15d", inbound.Filter{Until: middle}},
		{"--since 16d --until 15d", inbound.Filter{Since: middle.Add(-24 * time.Hour), Until: middle}},
		{"--error unprocessable", inbound.Filter{Error: "unprocessable"}},
		{"--error 'no such text'", inbound.Filter{Error: "no such text"}},
		{"--webhook seldom --type payout.created", inbound.Filter{Webhooks: []string{"seldom"}, Type: "payout.created"}},
		{"--webhook stripe --status failed --until 15d", inbound.Filter{Webhooks: []string{"stripe"}, State: inbound.Failed, Until: middle}},
		{"--limit 1000", inbound.Filter{Limit: 1000}},
	} {
		var found int
		times, err := repeat(100, func() error {
			page, err := f.box.List(ctx, q.f)
			found = len(page.Events)
			return err
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", q.name, err)
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\n", q.name, ms(times[50]), ms(times[99]), found)
	}
	if err := measureTotals(ctx, f, tw); err != nil {
		return err
	}
	return tw.Flush()
}

func measureTotals(ctx context.Context, f *filling, tw *tabwriter.Writer) error {
	times, err := repeat(100, func() error { _, err := f.box.Stats(ctx); return err })
	if err != nil {
		return err
	}
	fmt.Fprintf(tw, "totals of all webhooks and states\t%s\t%s\t\n", ms(times[50]), ms(times[99]))
	for name, q := range map[string]inbound.Filter{"count of failed": {State: inbound.Failed}, "count of everything": {}} {
		var c inbound.Counted
		times, err := repeat(5, func() (err error) { c, err = f.box.Count(ctx, q); return err })
		if err != nil {
			return err
		}
		more := ""
		if c.More {
			more = "or more"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d %s\n", name, ms(times[2]), ms(times[4]), c.N, more)
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
