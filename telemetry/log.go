package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Format is how log lines are written.
type Format string

// The formats. Auto is text on a terminal and JSON elsewhere.
const (
	Auto Format = ""
	JSON Format = "json"
	Text Format = "text"
)

// UnmarshalText reads "json", "text" or "auto".
func (f *Format) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case "json", "text":
		*f = Format(v)
	case "auto", "":
		*f = Auto
	default:
		return fmt.Errorf("%q is none of json, text and auto", v)
	}
	return nil
}

// The kinds of log lines, told apart by the attribute log.
const (
	kindInbound    = "inbound"
	kindOutbound   = "outbound"
	kindTransition = "transition"
)

// replicaKey names the attribute that every line has, if it is known: which
// process wrote it.
const replicaKey = "replica"

// newHandler writes to o.Output, as JSON unless o.Format is Text.
func newHandler(o Options, r *Redactor) slog.Handler {
	opt := &slog.HandlerOptions{Level: o.Level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return r.attr(a) }}
	var h slog.Handler = slog.NewJSONHandler(o.Output, opt)
	if o.Format == Text {
		h = slog.NewTextHandler(o.Output, opt)
	}
	if o.Replica != "" {
		h = h.WithAttrs([]slog.Attr{slog.String(replicaKey, o.Replica)})
	}
	return h
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// plain reports keys that are written here and name no secret: looking at the
// name takes longer than this.
func plain(key string) bool {
	switch key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, "log", "id", "trace_id", "span_id",
		"provider", "endpoint", "account", "client", "method", "host", "status", "outcome",
		"source", "attempts", "waited", "duration", "overhead", "bytes_in", "bytes_out",
		"provider_request_id", "provider_code", "provider_message", "code", "executed", "notes", "tags", "error",
		"webhook", "result", "event", "event_id", "type", "bytes", "target", "from",
		"to", "attempt", "reason", "by", "trail", "hint", "key", "misfit", "skew", replicaKey:
		return true
	}
	return false
}

// attr makes one attribute fit for a line. Numbers, times and booleans are; all
// else becomes text. Groups do not come here: their names are written in code.
func (r *Redactor) attr(a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(r.fit(a.Value.String()))
	case slog.KindAny:
		a.Value = slog.StringValue(r.fit(printed(a.Value.Any())))
	case slog.KindDuration:
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	if plain(a.Key) {
		return a
	}
	if sensitive(a.Key) {
		a.Value = slog.StringValue(mask)
	}
	a.Key = r.fit(a.Key)
	return a
}

// fit makes s fit for a line.
func (r *Redactor) fit(s string) string { return r.fitMarked(s, marksOf(s)) }

// fitMarked is fit with the marks of s known.
func (r *Redactor) fitMarked(s string, m marks) string {
	s = r.text(s, m)
	if m&odd != 0 || len(s) > maxText {
		s = clean(s)
	}
	return s
}

// printed is how a value without a kind of its own is logged. It survives values
// that cannot be printed.
func printed(v any) string {
	switch v := v.(type) {
	case slog.Level:
		return v.String()
	case error, fmt.Stringer:
		return fmt.Sprint(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(text)
}

// line is one line in the making. It holds more attributes than any line has.
type line struct {
	n     int
	attrs [32]slog.Attr
	made  strings.Builder // texts put together for this line, in one piece of memory
}

func (l *line) add(a slog.Attr) {
	l.attrs[l.n] = a
	l.n++
}

// str adds a text if there is one.
func (l *line) str(key, value string) {
	if value != "" {
		l.add(slog.String(key, value))
	}
}

func (l *line) err(err error) {
	if err != nil {
		l.add(slog.Any("error", err))
	}
}

// seconds adds a duration, as seconds with microseconds.
func (l *line) seconds(key string, d time.Duration) {
	l.add(slog.Float64(key, float64(d.Microseconds())/1e6))
}

// write logs the line, unless nobody wants to see the level.
func (l *line) write(t *Telemetry, level slog.Level, msg string) {
	ctx := context.Background()
	if !t.Log.Enabled(ctx, level) {
		return
	}
	if t.lines == nil || !t.lines.write(level, msg, l.attrs[:l.n]) {
		t.Log.LogAttrs(ctx, level, msg, l.attrs[:l.n]...)
	}
}
