package shared

import (
	"time"

	"github.com/postern-proxy/postern/policy/limit"
)

// A request is what is asked of Redis about one bucket.
type request struct {
	b      *bucket
	rule   limit.Rule
	born   int64
	debt   time.Duration
	back   int
	lots   []lot
	wishes []*wish // in the order of the lots
	store  bool    // the last lot is for nobody yet
}

// request puts together what the bucket needs from Redis; nil is nothing. holds
// says that it has tokens which may have to go back later, and more that some
// wishes have to wait for the next request.
func (b *bucket) request(now time.Time) (q *request, holds, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	q = &request{b: b, rule: b.rule, born: b.known.born, debt: b.debt(now), back: b.owed}
	if q.born == 0 {
		q.debt = 0
	}
	rest := b.asking
	for len(rest) > 0 && len(q.lots) < lots {
		w := rest[0]
		rest = rest[1:]
		switch last := len(q.lots) - 1; {
		case w.gone:
			continue
		case last >= 0 && q.lots[last].within == w.within:
			q.lots[last].n++
		default:
			q.lots = append(q.lots, lot{1, w.within})
		}
		q.wishes = append(q.wishes, w)
	}
	b.asking, b.owed = rest, 0
	if n := b.wanted(now); n > 0 {
		q.lots, q.store = append(q.lots, lot{n, 0}), true
	}
	if len(q.lots) == 0 && q.back == 0 {
		q = nil
	}
	return q, b.have > 0, len(rest) > 0
}

// settle hands out what was granted. now is when the reply came: a token is
// never used before its time by the clock of Redis.
func (q *request) settle(now time.Time, g grant) {
	b := q.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = known{at: now, born: g.born, rule: q.rule, tat: g.tat}
	every := q.rule.Every()
	next, wishes := now.Add(g.first), q.wishes
	for i, granted := range g.granted {
		if q.store && i == len(q.lots)-1 {
			b.put(now, now, granted)
			return
		}
		for j, w := range wishes[:q.lots[i].n] {
			switch {
			case j >= granted:
				w.done <- answer{slot: slot{at: b.next(now), left: b.level(now)}}
				continue
			case w.gone:
				b.put(now, next, 1)
			default:
				w.done <- answer{slot: slot{ok: true, at: next, left: b.level(now)}}
			}
			next = next.Add(every)
		}
		wishes = wishes[q.lots[i].n:]
	}
}
