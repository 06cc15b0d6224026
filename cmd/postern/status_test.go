package main

import (
	"testing"
	"time"

	"github.com/postern-proxy/postern/admin"
)

func TestStatusOfWebhooks(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for want, h := range map[string]admin.Webhook{
		"nothing waits": {Counts: map[string]int{"applied": 7, "ignored": 2}},
		"3 deliveries not applied yet, the oldest since 2026-11-29T11:58:30Z (1m30s)": {
			Counts: map[string]int{"received": 1, "retrying": 2}, Oldest: now.Add(-90 * time.Second),
		},
		"2 deliveries not applied yet; 2 for target hook/old, which the policy does not have: it waits until it is back; 1 in state failed": {
			Counts: map[string]int{"retrying": 2, "failed": 1}, Stranded: []admin.Stranded{{Target: "hook/old", Count: 2}},
		},
		"1 delivery not applied yet; 4 in state failed; 2 in state quarantined; 1 in state conflict": {
			Counts: map[string]int{"processing": 1, "failed": 4, "quarantined": 2, "conflict": 1},
		},
	} {
		if got := standing(&h, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
