package limit

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/backoff"
	"github.com/postern-proxy/postern/policy"
)

const (
	credible = 32 * 24 * time.Hour // a reset that is further away is a mistake, perhaps of the unit, and so is a refill that takes longer
	anew     = 2 * time.Second     // in which calls begin again after a reset, unless an answer says what is left
)

// window is what a provider says is left, and what went out since.
//
// Its word is no promise: others may use the same account, and it may be less in
// the next answer. Calls whose answer is not there yet are taken off what the
// others' answers say, because the provider may not have counted them.
type window struct {
	mu     sync.Mutex
	known  bool
	left   float64
	cost   float64 // of one call: what the last one took
	refill float64 // what comes back in a second; 0 is all at the reset
	at     time.Time
	until  time.Time // of the reset; zero is not known
	since  time.Time // when the answer came that said so
	flying int       // calls without an answer yet
	ramp   ramp      // after a reset that was waited for
}

// window is what is known of k.
func (b *Block) window(k Key) *window {
	if w, ok := b.st.windows.Get(k); ok {
		return w
	}
	w := &window{cost: 1}
	if before, ok, _ := b.st.windows.PeekOrAdd(k, w); ok {
		return before
	}
	return w
}

// take lets a call begin if the provider said that something is left, or did not
// say. Of what is left it takes what the one before cost.
func (w *window) take(now time.Time) Place {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pass(now)
	switch {
	case !w.known && !w.ramp.over(now):
		if wait, ok := w.ramp.take(now); !ok {
			return Place{Wait: wait}
		}
	case w.known && w.left < w.least():
		if wait := w.wait(now); wait > 0 {
			return Place{Wait: wait, Left: w.left}
		}
	}
	return w.begin()
}

// force is take for a call that goes out in any case.
func (w *window) force() Place {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begin()
}

func (w *window) begin() Place {
	w.flying++
	cost := 0.0
	if w.known {
		cost = w.cost
		w.left -= cost
	}
	return Place{OK: true, Left: w.left, Back: func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flying = max(0, w.flying-1)
		w.left += cost
		w.ramp.done()
	}}
}

// wait is how long it is until there is enough for a call, 0 if nobody knows.
func (w *window) wait(now time.Time) time.Duration {
	if w.refill > 0 {
		seconds := (w.least() - w.left) / w.refill
		if !(seconds <= credible.Seconds()) { // also NaN
			return 0
		}
		return time.Duration(min(math.Ceil(seconds*1e9), float64(24*time.Hour)))
	}
	if w.until.IsZero() {
		return 0
	}
	return w.until.Sub(now)
}

// least is what has to be left for a call: what it will cost is not known, and the
// one before it may have been dearer.
func (w *window) least() float64 { return min(1, w.cost) }

// pass is the passing of time.
func (w *window) pass(now time.Time) {
	if !w.known {
		return
	}
	if w.refill > 0 {
		w.left += w.refill * now.Sub(w.at).Seconds()
		w.at = now
	}
	if !w.until.IsZero() && !now.Before(w.until) {
		if w.left < w.least() {
			w.ramp = ramp{from: w.until, long: anew, flying: w.flying}
		}
		w.known = false
	}
}

// word is what one answer says.
type word struct {
	left         float64
	cost, refill float64       // 0 is not said
	reset        time.Duration // until then; below 0 is not said
}

// learn takes note of the answer to a call that began at start, nil if there was
// none.
func (b *Block) learn(k Key, x *policy.Exchange, resp *http.Response, start time.Time) {
	w := b.window(k)
	var said word
	ok := false
	if resp != nil && x.Outcome != policy.Redirect { // what follows a redirect is the same call to the application
		said, ok = b.word(x, resp)
	}
	left := w.answer(said, ok, start, time.Now())
	if ok {
		b.st.hall.stir(k)
		if b.By == nil {
			b.st.observer.LimitRemaining(k.Provider, k.Name, left)
		}
	}
}

func (w *window) answer(said word, ok bool, start, now time.Time) (left float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying = max(0, w.flying-1)
	w.ramp.done()
	if !ok {
		return w.left
	}
	w.pass(now)
	if said.cost > 0 {
		w.cost = said.cost
	}
	left = said.left - float64(w.flying)*w.cost
	if w.known && start.Before(w.since) { // both were under way at once: what this one says may be older
		left = min(left, w.left)
	} else {
		w.since, w.until = now, time.Time{}
		if said.reset >= 0 {
			w.until = now.Add(said.reset)
		}
	}
	w.known, w.left, w.refill, w.at = true, left, said.refill, now
	return left
}

// word reads an answer. What cannot be read was not said.
func (b *Block) word(x *policy.Exchange, resp *http.Response) (said word, ok bool) {
	if b.From == ratelimit {
		said, ok = fields(resp.Header)
	} else {
		text, _ := b.Remaining.String(x)
		said.left, ok = remaining(text)
		said.reset = -1
	}
	if !ok {
		return word{}, false
	}
	if b.Reset != nil {
		text, _ := b.Reset.String(x)
		if d, ok := backoff.Reset(text, b.Unit, backoff.Dated(resp.Header, time.Now())); ok && d <= credible {
			said.reset = d
		}
	}
	if b.Refill != nil {
		text, _ := b.Refill.String(x)
		said.refill, _ = number(text)
	}
	if b.Cost != nil {
		text, _ := b.Cost.String(x)
		said.cost, _ = number(text)
	}
	return said, true
}

// remaining reads what is left: a number, or what is used of how much, such as
// 32/40 (Shopify's X-Shopify-Shop-Api-Call-Limit) or api-usage=18/5000 (Salesforce's
// Sforce-Limit-Info).
func remaining(text string) (left float64, ok bool) {
	used, limit, pair := strings.Cut(text, "/")
	if !pair {
		left, ok = number(text)
		return left, ok
	}
	if _, value, named := strings.Cut(used, "="); named {
		used = value
	}
	u, fine := number(used)
	l, also := number(limit)
	return max(0, l-u), fine && also
}

// number reads digits, perhaps with a fraction, and no sign: less than nothing is
// nothing.
func number(text string) (n float64, ok bool) {
	text = strings.Trim(text, " \t")
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && c != '.' && (c != '-' || i > 0) {
			return 0, false
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	return max(0, n), err == nil
}
