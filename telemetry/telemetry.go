package telemetry

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options say where telemetry goes.
type Options struct {
	Output            io.Writer    // of the log, such as os.Stderr; one Write a line
	Gather            bool         // write lines together, unless Output is a terminal: Close writes the last ones
	Format            Format       // of the log
	Level             slog.Leveler // least level that is logged; info if nil
	Secrets           Secrets      // what must never be seen; nil is nothing
	Version, Revision string       // of this program
	Replica           string       // who this process is among those that share a store; it stands in every line
}

// Telemetry takes note of everything that happens. Its methods may be called by
// several goroutines at once; they never block but for the log's output.
type Telemetry struct {
	Log      *slog.Logger
	Redactor *Redactor
	Registry *prometheus.Registry

	m      *metrics
	echoed pacer
	lines  *encoder // of lines about calls and webhooks; nil where slog writes them: as text
	sink   *sink    // nil where lines are written at once
}

// New makes the log and the registry.
func New(o Options) *Telemetry {
	r := NewRedactor(o.Secrets)
	reg := prometheus.NewRegistry()
	t := &Telemetry{Redactor: r, Registry: reg, m: newMetrics(reg)}
	o.Output = t.output(&o)
	if o.Format != Text {
		t.lines = newEncoder(o.Output, r, o.Replica)
	}
	t.Log = slog.New(newHandler(o, r))
	t.m.build(o.Version, o.Revision)
	if o.Replica != "" {
		t.m.gauge("replica_info", "Always 1; the label says which process this is.", "replica").WithLabelValues(o.Replica).Set(1)
	}
	return t
}

// output settles the format, and returns what both writers of lines write to.
func (t *Telemetry) output(o *Options) io.Writer {
	to := o.Output
	if to == nil {
		return io.Discard
	}
	tty := terminal(to)
	if o.Format == Auto && tty {
		o.Format = Text
	}
	to = &inTurn{to: to}
	if o.Gather && !tty {
		t.sink = newSink(to, t.m.logDropped)
		to = t.sink
	}
	return to
}

// Close writes the lines that wait. What is logged later is written at once.
func (t *Telemetry) Close() {
	if t.sink != nil {
		_ = t.sink.Close()
	}
}

// Handler serves the metrics.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true, MaxRequestsInFlight: 8,
		ErrorLog: slog.NewLogLogger(t.Log.Handler(), slog.LevelError),
	})
}
