package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/inbound"
)

// PostgreSQL stores neither NUL nor what is not UTF-8 in a text. Such bytes are
// written as escape and two hexadecimal digits, and so is escape itself.
const escape = "\x1a"

// escaped is s fit for a text column. Different texts stay different.
func escaped(s string) string {
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\x00"+escape) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r == 0 || r == rune(escape[0]) {
			b.WriteString(escape + hex.EncodeToString([]byte{s[i]}))
			i++
			continue
		}
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}

// unescaped undoes escaped.
func unescaped(s string) string {
	before, rest, found := strings.Cut(s, escape)
	if !found {
		return s
	}
	var b strings.Builder
	for found {
		b.WriteString(before)
		if len(rest) < 2 {
			return s
		}
		c, err := hex.DecodeString(rest[:2])
		if err != nil {
			return s
		}
		b.Write(c)
		before, rest, found = strings.Cut(rest[2:], escape)
	}
	b.WriteString(before)
	return b.String()
}

func eachText(f func(string) string, header map[string][]string) map[string][]string {
	out := make(map[string][]string, len(header))
	for name, values := range header {
		mapped := make([]string, len(values))
		for i, v := range values {
			mapped[i] = f(v)
		}
		out[f(name)] = mapped
	}
	return out
}

// digest is unambiguous about where one part ends and the next begins.
func digest(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// dedupeKey stands for webhook, account and event id. It begins with the digest
// of the event id, so that an event can be found by that alone.
func dedupeKey(e *inbound.Event) []byte {
	return append(digest(e.EventID), digest(e.Webhook, e.Account)...)
}

// laneKey stands for a lane of a target, nil for none.
func laneKey(target, lane string) []byte {
	if lane == "" {
		return nil
	}
	return digest(target, lane)
}

// moment is t for a column that may be NULL: for none, and for what is none on
// any calendar.
func moment(t time.Time) *time.Time {
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &t
}

// century is more than any delay that is meant.
const century = 100 * 365 * 24 * time.Hour

// delay is how long it is until t, in microseconds. What is due is decided by
// the clock of the database, so no time of this machine is sent to it.
func delay(t time.Time) int64 {
	return min(max(time.Until(t), -century), century).Microseconds()
}
