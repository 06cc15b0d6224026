package telemetry

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Transition logs a change of the process itself, which belongs to no call.
func (t *Telemetry) Transition(level slog.Level, msg string, attrs ...slog.Attr) {
	t.TransitionOf(newID(), level, msg, attrs...)
}

// TransitionOf logs under an id that somebody was told, a UUIDv7.
func (t *Telemetry) TransitionOf(id string, level slog.Level, msg string, attrs ...slog.Attr) {
	var l line
	l.add(slog.String("log", kindTransition))
	l.identify("", id)
	for _, a := range attrs[:min(len(attrs), len(l.attrs)-l.n)] {
		l.add(a)
	}
	l.write(t, level, msg)
}

// Trouble logs what failed in the background.
func (t *Telemetry) Trouble(doing string, err error) {
	t.Transition(slog.LevelError, doing, slog.Any("error", err))
}

// Breaker takes note that a circuit opened or closed.
func (t *Telemetry) Breaker(provider, endpoint string, open bool) {
	to, level := "closed", slog.LevelInfo
	if open {
		t.m.breakerOpen.WithLabelValues(provider, endpoint).Inc()
		to, level = "open", slog.LevelWarn
	} else {
		t.m.breakerOpen.WithLabelValues(provider, endpoint).Dec()
	}
	t.Transition(level, "breaker "+to, slog.String("provider", provider), slog.String("endpoint", endpoint), slog.String("to", to))
}

// LimitWait takes note that a call waited for a limit.
func (t *Telemetry) LimitWait(provider, limit string, d time.Duration) {
	t.m.waits.get(limitLabels{provider, limit}).Observe(d.Seconds())
}

// LimitRemaining takes note of how many calls a limit would let pass at once.
func (t *Telemetry) LimitRemaining(provider, limit string, tokens float64) {
	t.m.remaining.get(limitLabels{provider, limit}).Set(max(0, tokens))
}

// LimitObserved takes note that a limit which only observes would have refused a
// call.
func (t *Telemetry) LimitObserved(provider string) {
	t.m.rateLimited.WithLabelValues(provider, "observed").Inc()
}

// LimitsShared takes note that limits are shared by replicas or, with the
// reason, that they are not any more.
func (t *Telemetry) LimitsShared(up bool, why error) {
	if up {
		t.m.limitShared.WithLabelValues().Set(1)
		t.Transition(slog.LevelInfo, "limits are shared", slog.String("to", "shared"))
		return
	}
	t.m.limitShared.WithLabelValues().Set(0)
	t.Transition(slog.LevelWarn, "limits are divided among the replicas until Redis answers", slog.String("to", "local"), slog.Any("error", why))
}

// LimitFellBack takes note that a limit was counted in this process because
// Redis did not answer. reason is of a closed set.
func (t *Telemetry) LimitFellBack(reason string) {
	t.m.limitFallbacks.WithLabelValues(reason).Inc()
}

// VersionMismatch takes note that a provider answered in another version than
// the policy pins.
func (t *Telemetry) VersionMismatch(provider string) {
	t.m.versionMismatch.WithLabelValues(provider).Inc()
}

// ClockSkew takes note of how many seconds a provider's clock is ahead of this
// machine's.
func (t *Telemetry) ClockSkew(provider string, seconds float64) {
	t.m.clockSkew.WithLabelValues(provider).Set(seconds)
}

// Echoed takes note that a provider sent a credential back, and whether the
// application was spared it. Of either the log has one line a minute for each
// provider.
func (t *Telemetry) Echoed(provider, endpoint string, masked bool) {
	t.m.echoes.WithLabelValues(provider).Inc()
	level, msg, key := slog.LevelWarn, "the provider sent the credential back; it was masked", provider
	if !masked {
		level, msg, key = slog.LevelError, "the provider sent the credential back, and the application was given it: replace it", provider+"\x00"
	}
	if answers := t.echoed.due(key, time.Now()); answers > 0 {
		t.Transition(level, msg, slog.String("provider", provider), slog.String("endpoint", endpoint), slog.Int("answers", answers))
	}
}

// Reload takes note that a configuration came into force, the first one
// included, or was refused with err while the one before stays.
func (t *Telemetry) Reload(err error) {
	if err != nil {
		t.m.reloads.WithLabelValues("refused").Inc()
		t.m.lastReload.Set(0)
		t.Transition(slog.LevelError, "configuration refused, the one before stays in force", slog.Any("error", err))
		return
	}
	t.m.reloads.WithLabelValues("applied").Inc()
	t.m.lastReload.Set(1)
	t.m.lastReloadedTime.SetToCurrentTime()
	t.Transition(slog.LevelInfo, "configuration in force")
}

// Secret takes note that a secret, named by its reference, cannot be had from
// where it comes from any more, and whether its last value stays in use, until
// till if that is not zero; without err, that it can again.
func (t *Telemetry) Secret(ref string, err error, kept bool, till time.Time) {
	if err == nil {
		t.Transition(slog.LevelInfo, "a secret can be read again", slog.String("reference", ref))
		return
	}
	t.m.secretFailures.Inc()
	attrs := []slog.Attr{slog.String("reference", ref), slog.Any("error", err)}
	if !till.IsZero() {
		attrs = append(attrs, slog.Time("until", till))
	}
	if kept {
		t.Transition(slog.LevelWarn, "a secret cannot be read, its last good value stays in use", attrs...)
		return
	}
	t.Transition(slog.LevelError, "a secret cannot be read, and what needs it is refused", attrs...)
}

// Replicas makes a metric of how many processes share the store, this one
// included. It is called once.
func (t *Telemetry) Replicas(live func() int) {
	t.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "postern", Name: "replicas", Help: "Live processes known from the store or from Redis, this one included."},
		func() float64 { return float64(live()) }))
}

// AuthorityExpires says when the certificate of the proxy's authority does.
func (t *Telemetry) AuthorityExpires(at time.Time) {
	_ = t.Registry.Register(t.m.caNotAfter) // once is enough
	t.m.caNotAfter.Set(float64(at.Unix()))
}
