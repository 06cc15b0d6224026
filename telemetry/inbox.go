package telemetry

import (
	"context"
	"log/slog"

	"github.com/postern-proxy/postern/inbound"
)

// Inbox is the observer of an inbox.
func (t *Telemetry) Inbox() inbound.Observer {
	return inbound.Observer{Received: t.received, Attempt: t.delivered, Moved: t.moved, Misfit: t.misfit, Held: t.held, OldKey: t.oldKey, Paused: t.paused, Trouble: t.Trouble}
}

// received takes note of one request.
func (t *Telemetry) received(r *inbound.Reception) {
	t.m.received(r)
	level := slog.LevelInfo
	switch r.Result {
	case "unsigned", "bad_signature", "stale", "too_large", "unavailable", "conflict":
		level = slog.LevelWarn
	}
	if !t.Log.Enabled(context.Background(), level) {
		return
	}
	var l line
	l.add(slog.String("log", kindInbound))
	l.identify("", r.ID)
	l.str("webhook", r.Webhook)
	l.str("result", r.Result)
	l.add(slog.Int("status", r.Status))
	l.str("handshake", r.Handshake)
	l.str("why", r.Why)
	l.str("event", r.Event)
	l.str("event_id", r.EventID)
	l.str("type", r.Type)
	l.str("account", r.Account)
	l.add(slog.Int("bytes", r.Bytes))
	l.str("key", r.Proof.Key)
	if !r.Proof.Signed.IsZero() {
		l.add(slog.Float64("skew", r.Received.Sub(r.Proof.Signed).Seconds()))
	}
	l.seconds("duration", r.Took)
	l.err(r.Err)
	l.write(t, level, "webhook")
}

func (m *metrics) received(r *inbound.Reception) {
	if r.Webhook == "" || r.Result == "" {
		return // no such path or method: says nothing about a webhook
	}
	m.inboxRequests.WithLabelValues(r.Webhook, r.Result).Inc()
	if !r.Proof.Signed.IsZero() && (r.Result == "accepted" || r.Result == "duplicate" || r.Result == "stale") {
		m.inboxSkew.WithLabelValues(r.Webhook).Set(r.Received.Sub(r.Proof.Signed).Seconds())
	}
	if r.Status >= 200 && r.Status < 300 {
		m.inboxAck.WithLabelValues(r.Webhook).Observe(r.Took.Seconds())
	}
}

// delivered takes note of one delivery attempt; its line is that of the move
// that follows.
func (t *Telemetry) delivered(a *inbound.Attempt) {
	t.m.inboxDeliveries.WithLabelValues(a.Webhook, string(a.Result)).Inc()
	t.m.inboxDelivery.WithLabelValues(a.Webhook).Observe(a.Took.Seconds())
	if a.Attempt > 1 {
		t.m.inboxRetries.WithLabelValues(a.Webhook).Inc()
	}
}

// paused takes note of a target that is left alone from now on, or no longer.
func (t *Telemetry) paused(p *inbound.Pause) {
	if !p.Paused {
		t.m.inboxPaused.WithLabelValues(p.Webhook, p.Target).Set(0)
		t.Transition(slog.LevelInfo, "target is back", slog.String("webhook", p.Webhook), slog.String("target", p.Target))
		return
	}
	t.m.inboxPaused.WithLabelValues(p.Webhook, p.Target).Set(1)
	t.m.inboxPauses.WithLabelValues(p.Webhook, p.Target).Inc()
	t.Transition(slog.LevelWarn, "target is paused", slog.String("webhook", p.Webhook), slog.String("target", p.Target), slog.Time("until", p.Until))
}

// moved takes note of one move of a delivery.
func (t *Telemetry) moved(m *inbound.Transition) {
	level := slog.LevelInfo
	switch m.To {
	case inbound.Applied:
		t.m.inboxApply.WithLabelValues(m.Webhook).Observe(m.At.Sub(m.Received).Seconds())
	case inbound.Failed:
		t.m.inboxFailed.WithLabelValues(m.Webhook).Inc()
		level = slog.LevelWarn
	case inbound.Ignored:
		t.m.inboxIgnored.WithLabelValues(m.Webhook, inbound.Why(m.Reason)).Inc()
	case inbound.Quarantined:
		t.m.inboxQuarantined.WithLabelValues(m.Webhook).Inc()
		level = slog.LevelWarn
	case inbound.Conflict:
		level = slog.LevelWarn
	}
	if !t.Log.Enabled(context.Background(), level) {
		return
	}
	var l line
	l.add(slog.String("log", kindTransition))
	l.identify("", m.Event)
	l.str("event", m.Event)
	l.str("webhook", m.Webhook)
	l.str("target", m.Target)
	l.str("from", string(m.From))
	l.str("to", string(m.To))
	l.add(slog.Int("attempt", m.Attempt))
	if m.Status != 0 {
		l.add(slog.Int("status", m.Status))
	}
	if m.Took != 0 {
		l.seconds("duration", m.Took)
	}
	l.str("reason", m.Reason)
	l.str("by", m.By)
	l.write(t, level, "delivery "+string(m.To))
}

// held takes note of an event that is in quarantine for another reason than its schema.
func (t *Telemetry) held(webhook string) { t.m.inboxQuarantined.WithLabelValues(webhook).Inc() }

// misfit takes note of an event that does not fit its schema.
func (t *Telemetry) misfit(m *inbound.Misfit) {
	if m.Held {
		t.m.inboxQuarantined.WithLabelValues(m.Webhook).Inc()
	}
	t.m.inboxMisfits.WithLabelValues(m.Webhook).Inc()
	var l line
	l.add(slog.String("log", kindInbound))
	l.identify("", m.Event)
	l.str("event", m.Event)
	l.str("webhook", m.Webhook)
	l.str("type", m.Type)
	l.str("misfit", m.Fingerprint)
	l.str("reason", m.Reason)
	msg := "event does not fit its schema, delivered all the same"
	if m.Held {
		msg = "event does not fit its schema, held in quarantine"
	}
	l.write(t, slog.LevelWarn, msg)
}

// oldKey takes note of a request that was signed with a key that is out of use.
func (t *Telemetry) oldKey(k *inbound.OldKey) {
	result := "accepted"
	if k.Refused {
		result = "refused"
	}
	t.m.inboxOldKeys.WithLabelValues(k.Webhook, k.Key, result).Inc()
}
