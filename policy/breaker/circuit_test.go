package breaker

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/config/block"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestP26CircuitModel: a circuit against a plain model of what it promises:
// open for its time, then one probe at a time, which closes it, opens it again
// or gives its place back.
func TestP26CircuitModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := &Block{
			Failures: rapid.Float64Range(0.1, 1).Draw(rt, "failures"), Calls: rapid.IntRange(1, 6).Draw(rt, "calls"),
			Window: block.Duration{Duration: 10 * time.Second}, Open: block.Duration{Duration: 5 * time.Second},
		}
		var c circuit
		var held []permit // attempts under way
		now := time.Now()
		start := now
		open, probing, until := false, false, time.Time{}
		type told struct {
			slot   int64
			failed bool
		}
		var results []told
		run, since := 0, time.Time{}
		for range rapid.IntRange(1, 200).Draw(rt, "n") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(rt, "ms")) * time.Millisecond)
			if len(held) == 0 || rapid.Bool().Draw(rt, "ask") {
				repeatable := rapid.Bool().Draw(rt, "repeatable")
				p, wait := c.ask(b, repeatable, now)
				want := normal
				if open {
					want = probe
					if now.Before(until) || probing || !repeatable && now.Before(until.Add(b.Open.Duration)) {
						want = refused
					}
				}
				if p != want || (p == refused) != (wait > 0) {
					rt.Fatalf("open %v, probing %v: permit %d, wait %v; want %d", open, probing, p, wait, want)
				}
				if p == probe {
					probing = true
				}
				if p != refused {
					held = append(held, p)
				}
				continue
			}
			i := rapid.IntRange(0, len(held)-1).Draw(rt, "which")
			p, j := held[i], judgement(rapid.IntRange(0, 2).Draw(rt, "judgement"))
			held = append(held[:i], held[i+1:]...)
			if len(results) == 0 && p == normal && j != neutral && !open && c.start.IsZero() {
				start = now
			}
			opened, closed := c.done(b, p, j, now)
			wantOpened, wantClosed := false, false
			switch {
			case p == probe:
				probing = false
				if j == success {
					open, wantClosed, results, run = false, true, nil, 0
				} else if j == failure {
					until = now.Add(b.Open.Duration)
				}
			case j != neutral && !open:
				slot := int64(now.Sub(start) / time.Second)
				results = append(results, told{slot, j == failure})
				calls, failed := 0, 0
				for _, r := range results {
					if r.slot > slot-slots {
						calls++
						if r.failed {
							failed++
						}
					}
				}
				if run++; j == success {
					run = 0
				} else if run == 1 {
					since = now
				}
				down := run >= b.Calls && now.Sub(since) >= time.Second
				if j == failure && (down || calls >= b.Calls && float64(failed) >= b.Failures*float64(calls)) {
					open, wantOpened, until = true, true, now.Add(b.Open.Duration)
				}
			}
			if opened != wantOpened || closed != wantClosed {
				rt.Fatalf("opened %v, closed %v; want %v, %v", opened, closed, wantOpened, wantClosed)
			}
		}
	})
}
