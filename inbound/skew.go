package inbound

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A request says when it was signed, by its sender's clock. Senders' clocks are
// right, and independent of each other: when all of them are as wrong as each
// other, it is this host's that is.
const (
	skewWindow  = 32              // samples of a webhook
	skewAge     = time.Hour       // after which a sample says nothing any more
	skewFew     = 5               // samples, for a webhook to be heard
	skewMany    = 20              // samples, for a single one to be believed
	skewMatters = 5 * time.Second // of several webhooks
	skewAlone   = time.Minute     // of a single one: its provider may send late
	skewSpread  = 2 * time.Second // within which skews are the same
	skewRest    = time.Second     // between two judgements
)

// skews is how far the dated requests of each webhook were off.
type skews struct {
	mu    sync.Mutex
	hooks map[string]*skewSamples
	told  bool      // until the clock is right again
	when  time.Time // it was judged, by a request
}

// skewSamples are the last ones of a webhook, in no order.
type skewSamples struct {
	last [skewWindow]skewSample
	n    int // that there were
}

type skewSample struct {
	at   time.Time
	skew time.Duration
}

func (s *skewSamples) add(x skewSample) {
	s.last[s.n%skewWindow] = x
	s.n++
}

func (s *skewSamples) all() []skewSample { return s.last[:min(s.n, skewWindow)] }

// note takes the skew of one request, and returns word of the host's clock when
// that is the likely cause and nobody was told.
func (s *skews) note(webhook string, at time.Time, skew time.Duration) (word error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hooks == nil {
		s.hooks = map[string]*skewSamples{}
	}
	samples := s.hooks[webhook]
	if samples == nil {
		samples = &skewSamples{}
		s.hooks[webhook] = samples
	}
	samples.add(skewSample{at, skew})
	if skew.Abs() < skewMatters && !s.told || at.Sub(s.when).Abs() < skewRest { // nothing new
		return nil
	}
	s.when = at
	err := s.judge(at)
	if err != nil && !s.told {
		word = err
	}
	s.told = err != nil
	return word
}

// judge says that the host's clock is probably wrong, if it is.
func (s *skews) judge(now time.Time) error {
	type hook struct {
		name   string
		median time.Duration
		n      int
		tight  bool
	}
	var heard []hook
	for _, name := range slices.Sorted(maps.Keys(s.hooks)) {
		var recent []time.Duration
		for _, x := range s.hooks[name].all() {
			if now.Sub(x.at) < skewAge {
				recent = append(recent, x.skew)
			}
		}
		if len(recent) < skewFew {
			continue
		}
		slices.Sort(recent)
		n := len(recent)
		heard = append(heard, hook{name, recent[n/2], n, recent[n*3/4]-recent[n/4] <= skewSpread})
	}
	if len(heard) == 0 {
		return nil
	}
	by := func(a, b hook) int { return cmp.Compare(a.median, b.median) }
	low, high := slices.MinFunc(heard, by), slices.MaxFunc(heard, by)
	most := skewMatters
	if len(heard) == 1 {
		if most = skewAlone; heard[0].n < skewMany || !heard[0].tight {
			return nil
		}
	}
	if high.median-low.median > skewSpread || low.median.Abs() < most || high.median.Abs() < most {
		return nil
	}
	names := make([]string, len(heard))
	for i, h := range heard {
		names[i] = h.name
	}
	way := "ahead"
	if low.median < 0 {
		way = "slow"
	}
	return fmt.Errorf("this host's clock is probably %s by about %s: so much are the requests of %s off, whose senders have clocks of their own", way, low.median.Abs().Round(time.Second), strings.Join(names, ", "))
}

// Clock says that this host's clock is probably wrong, by what dated requests say;
// nil if nothing does.
func (in *Inbox) Clock() error {
	in.skews.mu.Lock()
	defer in.skews.mu.Unlock()
	return in.skews.judge(time.Now())
}

// noteSkew takes note of when a request was signed, also of one that is stale.
func (in *Inbox) noteSkew(hook *Webhook, req *Request, v Verdict) {
	if v.Proof.Signed.IsZero() || v.Result != Accepted && v.Result != Stale {
		return
	}
	if word := in.skews.note(hook.Name, req.Received, req.Received.Sub(v.Proof.Signed)); word != nil {
		in.opt.Observer.trouble("comparing clocks", word)
	}
}
