package telemetry

import (
	"log/slog"
	"time"

	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
)

// Certificate takes note that another client certificate is in use or, with err,
// that a new one cannot be. until is when the one in use ends, zero if there is
// none.
func (t *Telemetry) Certificate(s policy.Scope, until time.Time, err error) {
	t.Expires(connection.Key{Provider: s.Provider, Credential: s.Label + " " + s.Route}, until)
	attrs := append(ofScope(s), slog.Time("until", until))
	switch {
	case err == nil:
		t.Transition(slog.LevelInfo, "another client certificate is in use", attrs...)
	case !until.IsZero():
		t.Transition(slog.LevelWarn, "the new client certificate cannot be used, the one before it stays in use", append(attrs, slog.Any("error", err))...)
	default:
		t.Transition(slog.LevelError, "the client certificate cannot be used, and what needs it is refused", append(ofScope(s), slog.Any("error", err))...)
	}
}

// CertificateEnds takes note that a client certificate ends soon, or did.
func (t *Telemetry) CertificateEnds(s policy.Scope, until time.Time) {
	t.Transition(slog.LevelWarn, "a client certificate ends soon: replace it", append(ofScope(s), slog.Time("until", until))...)
}

// ofScope says where a credential is used.
func ofScope(s policy.Scope) []slog.Attr {
	attrs := []slog.Attr{slog.String("provider", s.Provider)}
	if s.Route != "" {
		attrs = append(attrs, slog.String("route", s.Route))
	}
	return attrs
}
