package telemetry

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/postern-proxy/postern/connection"
)

// callBuckets are those that OpenTelemetry advises for HTTP, and longer ones for
// calls that take their time, in seconds.
var callBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 30, 60, 120}

// overheadBuckets are for what should take less than a millisecond.
var overheadBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}

// applyBuckets are for what may wait for a deploy of the application.
var applyBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400}

// metrics are all metrics but those read when somebody asks (stats.go). A label's
// values are names in the configuration, patterns of routes, or closed sets:
// never anything that a request brings (claim C56).
type metrics struct {
	reg *prometheus.Registry

	requests                     *prometheus.CounterVec   // provider endpoint method outcome source
	duration                     *prometheus.HistogramVec // provider endpoint outcome
	overhead                     *prometheus.HistogramVec // provider
	attempts                     *prometheus.CounterVec   // provider endpoint status_class
	retries                      *prometheus.CounterVec   // provider reason
	authFailures                 *prometheus.CounterVec   // provider status
	rateLimited                  *prometheus.CounterVec   // provider by
	limitWait                    *prometheus.HistogramVec // provider limit
	limitRemaining               *prometheus.GaugeVec     // provider limit
	limitShared                  *prometheus.GaugeVec
	limitFallbacks               *prometheus.CounterVec // reason
	breakerOpen                  *prometheus.GaugeVec   // provider endpoint
	idempotency                  *prometheus.CounterVec // provider result
	versionMismatch              *prometheus.CounterVec // provider
	clockSkew                    *prometheus.GaugeVec   // provider
	echoes                       *prometheus.CounterVec // provider
	refreshes                    *prometheus.CounterVec // provider result
	expiries                     *expiries
	tunnels                      prometheus.Counter
	deadLetters                  *prometheus.CounterVec   // provider outcome
	inboxRequests                *prometheus.CounterVec   // webhook result
	inboxAck                     *prometheus.HistogramVec // webhook
	inboxApply                   *prometheus.HistogramVec // webhook
	inboxDelivery                *prometheus.HistogramVec // webhook
	inboxDeliveries              *prometheus.CounterVec   // webhook result
	inboxRetries                 *prometheus.CounterVec   // webhook
	inboxFailed                  *prometheus.CounterVec   // webhook
	inboxQuarantined             *prometheus.CounterVec   // webhook
	inboxMisfits                 *prometheus.CounterVec   // webhook
	inboxOldKeys                 *prometheus.CounterVec   // webhook key result
	inboxSkew                    *prometheus.GaugeVec     // webhook
	inboxExpected                *prometheus.CounterVec   // webhook
	inboxBackfilled              *prometheus.CounterVec   // webhook
	inboxPaused                  *prometheus.GaugeVec     // webhook target
	inboxPauses                  *prometheus.CounterVec   // webhook target
	inboxIgnored                 *prometheus.CounterVec   // webhook, why
	reloads                      *prometheus.CounterVec   // result
	lastReload, lastReloadedTime prometheus.Gauge
	caNotAfter                   prometheus.Gauge
	logDropped                   prometheus.Counter
	secretFailures               prometheus.Counter

	calls     *handles[callLabels, callHandles]
	tries     *handles[tryLabels, prometheus.Counter]
	keyed     *handles[string, prometheus.Counter] // by provider: idempotency keys that were new
	waits     *handles[limitLabels, prometheus.Observer]
	remaining *handles[limitLabels, prometheus.Gauge]
}

func newMetrics(reg *prometheus.Registry) *metrics {
	m := &metrics{reg: reg}
	m.egress()
	m.inbox()
	m.oversight()
	m.process()
	m.calls = newHandles(m.callHandles)
	m.tries = newHandles(m.tryHandle)
	m.keyed = newHandles(func(provider string) prometheus.Counter { return m.idempotency.WithLabelValues(provider, "new") })
	m.waits = newHandles(func(l limitLabels) prometheus.Observer { return m.limitWait.WithLabelValues(l.provider, l.limit) })
	m.remaining = newHandles(func(l limitLabels) prometheus.Gauge { return m.limitRemaining.WithLabelValues(l.provider, l.limit) })
	return m
}

func (m *metrics) egress() {
	m.requests = m.counter("egress_requests_total", "Calls of applications that ended, by what became of them and who made the answer.", "provider", "endpoint", "method", "outcome", "source")
	m.duration = m.histogram("egress_request_duration_seconds", "Time from the beginning of a call to the last byte of its answer, waits and retries included.", callBuckets, "provider", "endpoint", "outcome")
	m.overhead = m.histogram("egress_overhead_seconds", "Time a call spent in Postern until response headers: neither upstream nor waiting.", overheadBuckets, "provider")
	m.attempts = m.counter("egress_attempts_total", "Requests sent to providers, by the class of the status that came back; error if none did.", "provider", "endpoint", "status_class")
	m.retries = m.counter("egress_retries_total", "Requests sent again, by what became of the attempt before.", "provider", "reason")
	m.authFailures = m.counter("egress_auth_failures_total", "Answers of providers with status 401 or 403.", "provider", "status")
	m.rateLimited = m.counter("egress_rate_limited_total", "Attempts that a provider refused because of its rate limit, and calls refused by a limit of the policy.", "provider", "by")
	m.refreshes = m.counter("credential_refreshes_total", "Renewals of tokens, by what came of them: renewed, failed (the one before is used while it is valid), lost (the account has to be connected again).", "provider", "result")
	m.expiries = &expiries{at: map[connection.Key]time.Time{}}
	m.reg.MustRegister(m.expiries)
	m.tunnels = m.counter("egress_tunnels_total", "Tunnels and requests to hosts that no provider names, passed through unseen.").WithLabelValues()
	m.limitWait = m.histogram("limit_wait_seconds", "Time that calls waited for a limit of the policy; those that had not to wait are not counted.", callBuckets, "provider", "limit")
	m.limitRemaining = m.gauge("limit_remaining", "Requests that a limit of the policy would let pass at once.", "provider", "limit")
	m.limitShared = m.gauge("limit_shared_up", "Whether limits are shared by replicas through Redis: 1, or 0 while each of them has its share of every limit.")
	m.limitFallbacks = m.counter("limit_fallbacks_total", "Attempts for which a limit was counted in this process because Redis did not answer.", "reason")
	m.breakerOpen = m.gauge("breaker_open", "Circuits that are open, one for each account that is affected.", "provider", "endpoint")
	m.idempotency = m.counter("idempotency_total", "Calls with an idempotency key, by what it was found to be.", "provider", "result")
	m.versionMismatch = m.counter("version_mismatch_total", "Answers in another version of the API than the policy pins.", "provider")
	m.echoes = m.counter("credential_echoes_total", "Answers in which a provider sent a credential of the call back.", "provider")
	m.clockSkew = m.gauge("clock_skew_seconds", "How far a provider's clock is ahead of this machine's; behind it is negative.", "provider")
}

func (m *metrics) inbox() {
	m.deadLetters = m.counter("deadletter_total", "Calls that were kept because they had finally failed, or because nobody knows whether they had their effect.", "provider", "outcome")
	m.inboxRequests = m.counter("inbox_requests_total", "Requests to the inbox, by what became of them.", "webhook", "result")
	m.inboxAck = m.histogram("inbox_ack_seconds", "Time until a webhook was acknowledged, which is when it is on disk.", callBuckets, "webhook")
	m.inboxApply = m.histogram("inbox_apply_seconds", "Time from the receipt of an event until the application applied it.", applyBuckets, "webhook")
	m.inboxDelivery = m.histogram("inbox_delivery_seconds", "Time that one delivery to the application took.", callBuckets, "webhook")
	m.inboxDeliveries = m.counter("inbox_deliveries_total", "Deliveries to the application, by what they led to.", "webhook", "result")
	m.inboxRetries = m.counter("inbox_retries_total", "Deliveries that were not the first attempt.", "webhook")
	m.inboxFailed = m.counter("inbox_failed_total", "Deliveries that were given up.", "webhook")
	m.inboxPaused = m.gauge("inbox_target_paused", "1 while nothing is delivered to a target because it is down, or asked for it.", "webhook", "target")
	m.inboxPauses = m.counter("inbox_target_pauses_total", "How often a target was paused.", "webhook", "target")
	m.inboxQuarantined = m.counter("inbox_quarantined_total", "Events held back because they do not fit.", "webhook")
	m.inboxOldKeys = m.counter("inbox_old_keys_total", "Requests signed with a key that was replaced, by its fingerprint: accepted while its overlap lasted, refused after it.", "webhook", "key", "result")
	m.inboxSkew = m.gauge("inbox_clock_skew_seconds", "How long before its receipt the newest dated request was signed, by the clocks of its sender and of this machine.", "webhook")
	m.inboxIgnored = m.counter("inbox_ignored_total", "Deliveries that were not made, by why.", "webhook", "why")
	m.inboxMisfits = m.counter("inbox_misfits_total", "Events that did not fit their schema, held in quarantine or only observed.", "webhook")
}

func (m *metrics) process() {
	m.reloads = m.counter("config_reloads_total", "Loads of the configuration, by result.", "result")
	m.logDropped = m.counter("log_dropped_total", "Lines of the log that were dropped because their reader was too slow.").WithLabelValues()
	m.secretFailures = m.counter("secret_failures_total", "How often a secret could not be read again from its file or command, or was not what expect() wants.").WithLabelValues()
	m.lastReload = m.gauge("config_last_reload_successful", "Whether the last load of the configuration succeeded: 1, or 0 while an older one is in force.").WithLabelValues()
	m.lastReloadedTime = m.gauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded.").WithLabelValues()
	m.caNotAfter = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "postern", Name: "ca_not_after_timestamp_seconds", Help: "When the certificate of the proxy's authority expires."})
	m.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// build says which program this is.
func (m *metrics) build(version, revision string) {
	m.gauge("build_info", "Always 1; the labels say which build this is.", "version", "revision", "goversion").WithLabelValues(version, revision, runtime.Version()).Set(1)
}

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "postern", Name: name, Help: help}, labels)
	m.reg.MustRegister(v)
	return v
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "postern", Name: name, Help: help}, labels)
	m.reg.MustRegister(v)
	return v
}

func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "postern", Name: name, Help: help, Buckets: buckets}, labels)
	m.reg.MustRegister(v)
	return v
}
