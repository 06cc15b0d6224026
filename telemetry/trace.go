package telemetry

import (
	"strings"

	"github.com/google/uuid"
)

// trace is the W3C Trace Context of a line.
type trace struct{ id, span string }

// traceOf continues the trace of the application's request. Where there is
// none, the correlation id, which is as long, is the trace's: what belongs
// together has one trace either way. It is put together in b.
func traceOf(b *strings.Builder, parent, id string) trace {
	if t, ok := parseTraceparent(parent); ok {
		return t
	}
	from := b.Len()
	for part := range strings.SplitSeq(id, "-") {
		b.WriteString(part)
	}
	bare := b.String()[from:]
	if len(bare) != 32 {
		return trace{}
	}
	return trace{bare, bare[16:]}
}

// parseTraceparent reads "00-TRACE-SPAN-FLAGS" (W3C Trace Context §3.2). A later
// version may have more at the end.
func parseTraceparent(s string) (trace, bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return trace{}, false
	}
	version, id, span := s[:2], s[3:35], s[36:52]
	switch {
	case !lowerHex(version) || !lowerHex(id) || !lowerHex(span) || !lowerHex(s[53:55]),
		version == "ff", version == "00" && len(s) != 55, len(s) > 55 && s[55] != '-',
		strings.Trim(id, "0") == "", strings.Trim(span, "0") == "":
		return trace{}, false
	}
	return trace{id, span}, true
}

func lowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// identify adds the three ids that every line has.
func (l *line) identify(parent, id string) {
	l.made.Grow(128) // holds what most lines put together
	t := traceOf(&l.made, parent, id)
	l.str("id", id)
	l.str("trace_id", t.id)
	l.str("span_id", t.span)
}

// newID is for lines about the process, which belong to no call.
func newID() string {
	id, _ := uuid.NewV7() // fails only if the system has no randomness, which ends the program
	return id.String()
}
