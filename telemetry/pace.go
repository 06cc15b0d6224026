package telemetry

import (
	"sync"
	"time"
)

// pause is between two lines about what may happen with every call.
const pause = time.Minute

// A pacer says which of many alike lines are written. Its keys are made of names
// in the configuration.
type pacer struct {
	mu   sync.Mutex
	last map[string]paced
}

type paced struct {
	at   time.Time // of the last line
	left int       // how many were not written since
}

// due returns for how many events a line about key is due now, 0 if none is.
func (p *pacer) due(key string, now time.Time) (events int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]paced{}
	}
	last, known := p.last[key]
	if known && now.Sub(last.at) < pause {
		last.left++
		p.last[key] = last
		return 0
	}
	p.last[key] = paced{at: now}
	return last.left + 1
}
