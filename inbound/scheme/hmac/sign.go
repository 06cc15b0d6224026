package hmac

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postern-proxy/postern/inbound"
)

// sign signs a request as its sender would, at the time when it is received, with
// the first secret that can be used. Headers and fields that are signed and that it
// does not have are made up.
func (g *Grammar) sign(r *inbound.Request) error {
	keys, err := g.keys()
	if len(keys) == 0 {
		return fmt.Errorf("sign: %w", err)
	}
	if g.Signature != nil {
		return fmt.Errorf("the signature stands in %s, which only the sender can make", g.Signature.Source())
	}
	s := &signed{Names: inbound.Names{Request: r, Timestamp: formatTime(g.Unit, r.Received)}, group: &group{}, secret: keys[0]}
	if g.Timestamp != "" {
		r.Header.Set(g.Timestamp, s.Timestamp)
	}
	if g.ID != "" && r.Header.Get(g.ID) == "" {
		r.Header.Set(g.ID, "msg_"+strings.ReplaceAll(uuid.NewString(), "-", ""))
	}
	if g.Message != nil {
		for _, ref := range g.Message.Refs() {
			made := strings.ReplaceAll(uuid.NewString(), "-", "")
			switch {
			case ref.Name == "header" && r.Header.Get(ref.Key) == "":
				r.Header.Set(ref.Key, made)
			case ref.Name == "field":
				s.group.fields = append(s.group.fields, [2]string{ref.Key, made})
			}
		}
	}
	h := g.mac(keys[0])
	if no := g.clear(s); no != nil {
		return errors.New(no.why)
	}
	if !g.write(h, s) {
		return errors.New("a part of what is signed is missing: see message of the verify block")
	}
	text := g.Prefix + g.Encoding.encode(h.Sum(nil))
	if g.Field != "" {
		text = g.Field + g.Assign + text
	}
	for _, f := range s.group.fields {
		text = f[0] + g.Assign + f[1] + g.Separator + text
	}
	if g.TimestampField != "" {
		text = g.TimestampField + g.Assign + s.Timestamp + g.Separator + text
	}
	r.Header.Set(g.names()[0], text)
	return nil
}

func formatTime(u inbound.Unit, t time.Time) string {
	switch u {
	case inbound.RFC3339:
		return t.UTC().Format(time.RFC3339)
	case inbound.Millis:
		return strconv.FormatInt(t.UnixMilli(), 10)
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// encode undoes decode.
func (e Encoding) encode(b []byte) string {
	switch e {
	case Base64:
		return base64.StdEncoding.EncodeToString(b)
	case Base64URL:
		return base64.RawURLEncoding.EncodeToString(b)
	case Base64Hex:
		return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(b)))
	}
	return hex.EncodeToString(b)
}
