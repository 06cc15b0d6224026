package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// spreads are ways to spread a backlog: nineteen of twenty events are in one lane,
// or each lane has ten.
var spreads = map[string]func(int) string{
	"no lanes": noLane,
	"one large lane": func(i int) string {
		if i%20 != 0 {
			return "large"
		}
		return fmt.Sprint("small-", i/200)
	},
	"many lanes": func(i int) string { return fmt.Sprint("lane-", i/10) },
}

// pile stores events for one target, from number i up to n.
func pile(b *testing.B, box inbound.Store, i, n int, lane func(int) string) {
	body := []byte(strings.Repeat("x", 1300))
	for i < n {
		var all []*inbound.Arrival
		for ; i < n && len(all) < 250; i++ {
			e := &inbound.Event{ID: fmt.Sprintf("id-%d", i), Webhook: "hook", EventID: fmt.Sprintf("evt-%d", i), Received: time.Now(), Body: body, Size: len(body), Lane: lane(i)}
			all = append(all, &inbound.Arrival{Event: e, To: inbound.To("hook")})
		}
		if err := box.Insert(b.Context(), all...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBacklog is the life of one event more, eight claimed at once, in an
// inbox in which so many wait. It should be the same for all backlogs.
func BenchmarkBacklog(b *testing.B) {
	open := map[string]func(*testing.B) inbound.Store{
		"memory": func(*testing.B) inbound.Store { return NewMemory().Inbox() },
		"sqlite": func(b *testing.B) inbound.Store {
			s, err := OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "postern.db"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s.Inbox()
		},
		"postgres": func(b *testing.B) inbound.Store { return openForBench(b).Inbox() },
	}
	for name, open := range open {
		for lanes, lane := range spreads {
			for _, n := range []int{1000, 10_000, 100_000} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, lanes, n), func(b *testing.B) {
					box := open(b)
					pile(b, box, 0, n, lane)
					b.ResetTimer()
					for done := 0; done < b.N; {
						items, _, err := box.Claim(context.Background(), map[string]int{"hook": 8}, time.Minute)
						if err != nil || len(items) == 0 {
							b.Fatalf("claimed %d, %v", len(items), err)
						}
						for _, it := range items {
							if err := box.Finish(context.Background(), it.Lease, inbound.Move{To: inbound.Applied, Attempt: 1, Status: 200}); err != nil {
								b.Fatal(err)
							}
						}
						pile(b, box, n+done, n+done+len(items), lane)
						done += len(items)
					}
				})
			}
		}
	}
}
