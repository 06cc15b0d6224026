package inbound

import "time"

// usualHorizon is longer than any provider is known to try again: the longest of
// those that say so, DocuSign, does for fifteen days.
const usualHorizon = 30 * 24 * time.Hour

// outlive says until when the keys of arrivals are known at least. Where no date is
// signed nothing but a known key tells a request that is replayed from a new one,
// so these outlive the events themselves.
func (in *Inbox) outlive(hook *Webhook, all []*Arrival) {
	for _, a := range all {
		horizon := hook.Horizon.Duration
		if horizon == 0 {
			horizon = usualHorizon
			if a.Event.Proof.Signed.IsZero() {
				horizon = max(horizon, 2*in.opt.Retain)
			}
		}
		a.Event.Horizon = a.Event.Received.Add(horizon)
	}
}
