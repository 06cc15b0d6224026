package inbound

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/config/block"
)

// into puts a state into a message. Its bytes, and those of the event, are copied as
// they are: no number and no space changes.
func (s *state) into(as Shape, msg *message) *message {
	header := http.Header{}
	for name, v := range msg.header {
		header[name] = v
	}
	for _, name := range contentHeaders {
		header.Del(name)
	}
	out := &message{header: header, confirmed: true}
	asOf := s.asOf.UTC().Format(time.RFC3339Nano)
	header.Set("Postern-As-Of", asOf)
	if as == InsteadOf {
		out.body = s.body
		if s.body == nil {
			out.body, s.kind = []byte("null"), jsonType
		}
		if s.kind != "" {
			header.Set("Content-Type", s.kind)
		}
		return out
	}
	var b bytes.Buffer
	b.Grow(len(msg.body) + len(s.body) + 100)
	b.WriteString(`{"event": `)
	b.Write(asJSON(msg.body, msg.header.Get("Content-Encoding") != ""))
	b.WriteString(`, "latest": `)
	if s.body == nil {
		b.WriteString("null")
	} else {
		b.Write(asJSON(s.body, false))
	}
	b.WriteString(`, "as_of": "` + asOf + "\"}")
	out.body = b.Bytes()
	header.Set("Content-Type", jsonType)
	return out
}

// asJSON is a body as a JSON value: as it is if it is JSON, or else a string of it, or
// {"base64": …} where it is no text.
func asJSON(body []byte, encoded bool) []byte {
	switch {
	case !encoded && block.ValidJSON(body):
		return body
	case !encoded && utf8.Valid(body):
		text, _ := json.Marshal(string(body))
		return text
	}
	return []byte(`{"base64": "` + base64.StdEncoding.EncodeToString(body) + `"}`)
}
