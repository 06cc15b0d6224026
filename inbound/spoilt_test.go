package inbound_test

import (
	"net/http"
	"net/textproto"
	"strings"
)

// spoilt is what can be done to any rightly signed request without knowing how it is
// signed (facts of 2026-11, the negative cases that every scheme must refuse). A body
// that is covered in part is left alone.
func (tt one) spoilt() (all []one) {
	change := func(what, body string, header http.Header) {
		all = append(all, one{tt.name + ", " + what, tt.path, body, header, "", false})
	}
	with := func(name string, values ...string) http.Header {
		h := tt.header.Clone()
		if h.Del(name); values != nil {
			h[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
		return h
	}
	for name, values := range tt.header {
		if name == "Content-Type" || len(values) != 1 {
			continue
		}
		v, wrong := values[0], strings.Repeat("A", len(values[0]))
		change("without "+name, tt.body, with(name))
		for what, values := range map[string][]string{
			"empty": {""}, "truncated": {v[:len(v)*2/3]}, "a character short": {v[:len(v)-1]}, "its beginning": {v[:min(len(v), 3)]}, "a character more": {v + "A"}, "with a null": {v + "\x80"},
			"good and bad": {v, wrong}, "bad and good": {wrong, v}, "twice": {v, v}, "many": {strings.Repeat(v+",", min(200, 40<<10/(len(v)+1))) + v},
			"without padding": {strings.TrimRight(v, "=")}, "another last character": {turned(v)},
		} {
			if what != "without padding" || values[0] != v {
				change(name+" "+what, tt.body, with(name, values...))
			}
		}
	}
	if tt.partial || tt.header == nil && tt.body == "" {
		return all
	}
	inToken := strings.HasPrefix(tt.body, `{"signedPayload"`) // white space around it is not the token's
	for what, body := range map[string]string{"a newline more": tt.body + "\n", "a space before": " " + tt.body, "a null more": tt.body + "\x00", "none of its body": ""} {
		if body != tt.body && (!inToken || strings.TrimSpace(body) != tt.body) {
			change(what, body, tt.header)
		}
	}
	for i := 0; i < len(tt.body); i += 1 + len(tt.body)/7 {
		change("another byte", tt.body[:i]+string(tt.body[i]^1)+tt.body[i+1:], tt.header)
	}
	return all
}

// turned is v with the next character of Base64 at its end, before any padding: it may
// differ in bits only that no byte has.
func turned(v string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
	end := strings.TrimRight(v, "=")
	if end == "" {
		return "A"
	}
	last := strings.IndexByte(alphabet, end[len(end)-1])
	return end[:len(end)-1] + string(alphabet[max(last, 0)^1]) + v[len(end):]
}

// refuses sends all that is spoilt of a request.
func (b *box) refuses(tt one) {
	b.t.Helper()
	for _, s := range tt.spoilt() {
		got := b.post(s.path, s.body, s.header)
		if r := b.newest(); got.status != http.StatusUnauthorized || r.Event != "" {
			b.t.Errorf("%s: %d %s (%s)", s.name, got.status, r.Result, r.Why)
		}
	}
}
