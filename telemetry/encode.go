package telemetry

import (
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// An encoder writes lines as slog's JSON handler would, byte for byte, in a
// fraction of its time: every call pays for one line. Its rule: each attribute
// is made fit as Redactor.attr does it there, each text is escaped after that,
// and a line with a group or a slog.LogValuer is left to slog.
type encoder struct {
	out     io.Writer // one Write a line
	redact  *Redactor
	replica []byte    // the attribute that every line has, written
	buffers sync.Pool // of *[]byte
}

// largeLine is the length in bytes from which a buffer is not kept.
const largeLine = 16 << 10

func newEncoder(out io.Writer, r *Redactor, replica string) *encoder {
	e := &encoder{out: out, redact: r, buffers: sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}}
	if replica != "" {
		e.replica, _ = e.appendAttr(nil, slog.String(replicaKey, replica))
	}
	return e
}

// write reports whether it wrote the line; if not, nothing of it is written.
func (e *encoder) write(level slog.Level, msg string, attrs []slog.Attr) bool {
	buf := e.buffers.Get().(*[]byte)
	b := append((*buf)[:0], `{"time":"`...)
	b = time.Now().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":`...)
	b = e.appendFit(b, level.String())
	b = append(b, `,"msg":`...)
	b = e.appendFit(b, msg)
	b = append(b, e.replica...)
	ok := true
	for i := 0; i < len(attrs) && ok; i++ {
		b, ok = e.appendAttr(b, attrs[i])
	}
	if ok {
		b = append(b, "}\n"...)
		_, _ = e.out.Write(b) // there is nowhere left to say that this failed
	}
	if cap(b) <= largeLine {
		*buf = b
		e.buffers.Put(buf)
	}
	return ok
}

// appendAttr reports false for what is left to slog.
func (e *encoder) appendAttr(b []byte, a slog.Attr) ([]byte, bool) {
	known := plain(a.Key)
	switch kind := a.Value.Kind(); {
	case kind == slog.KindGroup || kind == slog.KindLogValuer:
		return b, false
	case known && kind == slog.KindString: // as in attr, but looked at once
		b = appendKnown(b, a.Key)
		return e.appendFit(b, a.Value.String()), true
	case !known || kind == slog.KindAny || kind == slog.KindDuration:
		a = e.redact.attr(a)
	}
	if known {
		b = appendKnown(b, a.Key)
	} else {
		b = appendText(append(b, ','), a.Key)
		b = append(b, ':')
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return appendText(b, a.Value.String()), true
	case slog.KindInt64:
		return strconv.AppendInt(b, a.Value.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(b, a.Value.Uint64(), 10), true
	case slog.KindFloat64:
		return appendFloat(b, a.Value.Float64()), true
	case slog.KindBool:
		return strconv.AppendBool(b, a.Value.Bool()), true
	case slog.KindTime:
		b = append(b, '"')
		b = a.Value.Time().AppendFormat(b, time.RFC3339Nano)
		return append(b, '"'), true
	}
	return b, false
}

// appendKnown writes a key that needs no escapes.
func appendKnown(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

// appendFit makes s fit and writes it. What redaction puts in needs no escapes.
func (e *encoder) appendFit(b []byte, s string) []byte {
	m := marksOf(s)
	s = e.redact.fitMarked(s, m)
	if m&(quote|odd) != 0 {
		return appendText(b, s)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendFloat writes f as encoding/json does. JSON has no infinity: an error
// stands for it.
func appendFloat(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	text, err := json.Marshal(f)
	if err != nil {
		return appendText(b, "!ERROR:"+err.Error())
	}
	return append(b, text...)
}

// appendText writes s as a JSON string. Whatever it holds, the line stays one
// line of valid UTF-8.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	const hex = "0123456789abcdef"
	for _, c := range s { // bytes that are no UTF-8 come as RuneError
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c < ' ' || c == '\u2028' || c == '\u2029' || c == utf8.RuneError:
			b = append(b, '\\', 'u', hex[c>>12], hex[c>>8&15], hex[c>>4&15], hex[c&15])
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"')
}
