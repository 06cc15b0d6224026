package telemetry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
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

func newHandler(o Options, r *Redactor) slog.Handler {
	if o.Output == nil {
		o.Output = io.Discard
	}
	opt := &slog.HandlerOptions{Level: o.Level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return r.attr(a) }}
	if o.Format == Text || o.Format == Auto && terminal(o.Output) {
		return slog.NewTextHandler(o.Output, opt)
	}
	return slog.NewJSONHandler(o.Output, opt)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// plain are keys that are written here and name no secret: looking at the name
// takes longer than this.
var plain = map[string]bool{
	slog.TimeKey: true, slog.LevelKey: true, slog.MessageKey: true, "log": true, "id": true, "trace_id": true, "span_id": true,
	"provider": true, "endpoint": true, "account": true, "client": true, "method": true, "host": true, "status": true, "outcome": true,
	"source": true, "attempts": true, "waited": true, "duration": true, "overhead": true, "bytes_in": true, "bytes_out": true,
	"provider_request_id": true, "provider_code": true, "code": true, "executed": true, "notes": true, "tags": true, "error": true,
	"webhook": true, "result": true, "event": true, "event_id": true, "type": true, "bytes": true, "target": true, "from": true,
	"to": true, "attempt": true, "reason": true, "by": true, "trail": true, "hint": true,
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
	if plain[a.Key] {
		return a
	}
	if sensitive(a.Key) {
		a.Value = slog.StringValue(mask)
	}
	a.Key = r.fit(a.Key)
	return a
}

// fit makes s fit for a line.
func (r *Redactor) fit(s string) string {
	m := marksOf(s)
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

func (l *line) write(log *slog.Logger, level slog.Level, msg string) {
	log.LogAttrs(context.Background(), level, msg, l.attrs[:l.n]...)
}
