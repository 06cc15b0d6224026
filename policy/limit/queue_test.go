package limit

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestQueueModel: against a list that is searched for who is next, whatever is
// pushed, popped, removed and evicted.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		type call struct {
			*waiter
			line line
		}
		var all []call // in the order of coming
		var turns [levels][]line
		over, now := 0, time.Now()
		gone := func(w *waiter) (c call) {
			i := slices.IndexFunc(all, func(c call) bool { return c.waiter == w })
			c = all[i]
			all = slices.Delete(all, i, i+1)
			if !slices.ContainsFunc(all, func(o call) bool { return o.line == c.line && o.urgency == c.urgency }) {
				turns[c.urgency] = slices.DeleteFunc(turns[c.urgency], func(l line) bool { return l == c.line })
			}
			return c
		}
		first := func(urgency int) *waiter {
			for _, c := range all {
				if c.urgency == urgency && c.line == turns[urgency][0] {
					return c.waiter
				}
			}
			return nil
		}
		for range rapid.IntRange(1, 300).Draw(t, "n") {
			l := line{"c", fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "account"))}
			u := rapid.SampledFrom([]int{0, 3, 3, 3, 7}).Draw(t, "urgency")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3, 4:
				now = now.Add(1)
				w := &waiter{urgency: u, since: now}
				q.push(l, w)
				all = append(all, call{w, l})
				if !slices.Contains(turns[u], l) {
					turns[u] = append(turns[u], l)
				}
			case 5, 6, 7:
				var levelled []int
				for i := range turns {
					if len(turns[i]) > 0 {
						levelled = append(levelled, i)
					}
				}
				got := q.pop()
				if len(levelled) == 0 {
					if got != nil {
						t.Fatal("an empty queue gave somebody")
					}
					continue
				}
				top := levelled[0]
				switch {
				case len(levelled) == 1:
					over = 0
				case over == share:
					over, top = 0, levelled[1]
					for _, i := range levelled[2:] {
						if first(i).since.Before(first(top).since) {
							top = i
						}
					}
				default:
					over++
				}
				if want := first(top); got != want {
					t.Fatalf("got %+v, want %+v", got, want)
				}
				turns[top] = append(turns[top][1:], turns[top][0])
				gone(got)
			case 8:
				if len(all) > 0 {
					w := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")].waiter
					q.remove(w)
					gone(w)
				}
			case 9:
				count := map[line]int{}
				for _, c := range all {
					if c.urgency == u {
						count[c.line]++
					}
				}
				w := q.evict(l, u)
				if w == nil {
					for other, n := range count {
						if other != l && n > count[l]+1 {
							t.Fatalf("%v with %d kept out %v with %d", other, n, l, count[l])
						}
					}
					continue
				}
				c := gone(w)
				for _, o := range all {
					if o.line == c.line && o.urgency == c.urgency && !o.since.Before(c.since) {
						t.Fatal("not the last of its line had to leave")
					}
				}
				if c.urgency < u || c.urgency == u && (c.line == l || count[c.line] < count[l]+2) {
					t.Fatalf("%v with %d had to leave for %v with %d", c.line, count[c.line], l, count[l])
				}
			}
			if q.n != len(all) {
				t.Fatalf("%d in the queue, want %d", q.n, len(all))
			}
		}
		for q.pop() != nil {
		}
		if q.n != 0 || q.urgent(0) >= 0 {
			t.Fatalf("%d are left in an empty queue", q.n)
		}
	})
}

// TestUrgency: what a call says of itself, and what means nothing.
func TestUrgency(t *testing.T) {
	for text, want := range map[string]int{
		"": 3, "high": 1, "High": 1, "normal": 3, "low": 5, "0": 0, "7": 7, "8": 3, "-1": 3, "10": 3, "u=0": 0, "u=6, i": 6, "i, u=2": 2, "i": 3, "urgent": 3, "é": 3,
	} {
		if got := urgency(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
