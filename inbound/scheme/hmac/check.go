package hmac

import (
	"errors"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// Check implements [block.Checker].
func (g *Grammar) Check() error {
	var errs []error
	refuse := func(attr, format string, args ...any) { errs = append(errs, block.At(attr, format, args...)) }
	switch {
	case g.Header == "" && len(g.Headers) == 0 && g.Signature == nil:
		refuse("header", "header must name the header of the signature")
	case g.Header != "" && len(g.Headers) > 0, g.Signature != nil && (g.Header != "" || len(g.Headers) > 0):
		refuse("header", "the signature stands in header, in one of headers, or where signature says")
	case slices.Contains(g.Headers, ""):
		refuse("headers", "headers must be names")
	case g.Encoding == UTF8:
		refuse("encoding", "a signature is written in hex, base64, base64url or base64_hex")
	case g.Field != "" && (g.Separator == "" || g.Assign == ""):
		refuse("field", "field needs a separator and an assign: it is one name in a list such as %q", "t=1,v1=abc")
	case g.TimestampField != "" && g.Field == "":
		refuse("timestamp_field", "timestamp_field needs field: both are names in one list")
	case g.Group != "" && g.TimestampField == "":
		refuse("group", "group needs timestamp_field: it divides lists that have each a timestamp")
	}
	errs = append(errs, g.checkTime(), g.checkMessage())
	return errors.Join(errs...)
}

func (g *Grammar) checkTime() error {
	places := 0
	for _, there := range []bool{g.Timestamp != "", g.TimestampField != "", g.Time != nil} {
		if there {
			places++
		}
	}
	switch {
	case places > 1:
		return block.At("timestamp", "the timestamp stands either in a header, in a field, or in the body")
	case g.Tolerance != nil && places == 0:
		return block.At("tolerance", "tolerance needs a timestamp, and this signature has none")
	case g.Tolerance != nil && g.Tolerance.Duration <= 0:
		return block.At("tolerance", "tolerance must be more than nothing")
	case g.Time != nil && (!g.Time.Reads("body") || len(g.Time.Refs()) > 1):
		return block.At("time", "time is a field of the body, which the signature covers: body.sent_at")
	}
	return nil
}

// checkMessage refuses a message that does not cover what it is to vouch for, or
// that could be read in two ways (P of the signed bytes moving from one part into
// the next).
func (g *Grammar) checkMessage() error {
	m, stamped := g.Message, g.Timestamp != "" || g.TimestampField != ""
	if m == nil {
		switch {
		case stamped:
			return block.At("message", `message is required with a timestamp, such as "${timestamp}.${raw_body}"`)
		case g.SecretIn == InMessage:
			return block.At("message", `message is required where the secret is in it, such as "${raw_body}${secret}"`)
		case g.Unescaped != "":
			return block.At("unescaped", "the body alone is signed, and no URL")
		case g.ID != "":
			return block.At("id", "the message does not hold this header, so anybody could change it")
		}
		return nil
	}
	body := m.Reads("raw_body") || m.Reads("raw_body_sha256") || m.Reads("raw_body_sha256_base64")
	switch {
	case stamped && !m.Reads("timestamp"):
		return block.At("message", "the message does not hold the timestamp, so anybody could change it")
	case !stamped && m.Reads("timestamp"):
		return block.At("message", "the message holds a timestamp: say where it stands with timestamp or timestamp_field")
	case !body:
		return block.At("message", "the message does not hold raw_body, so the event itself would not be verified")
	case g.ID != "" && !holdsHeader(m, g.ID):
		return block.At("id", "the message does not hold this header, so anybody could change it")
	case g.Unescaped != "" && !m.Reads("url"):
		return block.At("unescaped", "the message does not hold the URL, in which these would be written out")
	case g.Unescaped != "" && strings.Trim(g.Unescaped, unescapable) != "":
		return block.At("unescaped", "unescaped may hold some of %s: what stands in a URL as it is", unescapable)
	case m.Reads("field") && g.Separator == "":
		return block.At("message", "the message holds a field, and without a separator there is none")
	case m.Reads("secret") != (g.SecretIn == InMessage):
		return block.At("message", `${secret} is for secret_in = "message", and has to be in the message then`)
	}
	return checkBounds(m)
}

// unescapable are the characters that may be written out in a URL: none that could be
// the beginning of a body behind it.
const unescapable = ":/?@!$'()*,;&=+-_.~"

// checkBounds refuses parts that a sender chooses beside the body without anything
// between: whoever replays a request could move the border.
func checkBounds(m *block.Template) error {
	free := func(r *block.Ref) bool {
		return r != nil && (r.Name == "header" || r.Name == "query" || r.Name == "field")
	}
	parts := m.Parts()
	for i := range len(parts) - 1 {
		a, b := parts[i].Ref, parts[i+1].Ref
		if free(a) && (free(b) || isBody(b)) || isBody(a) && free(b) {
			return block.At("message", "nothing stands between %s and %s, so that the end of one could pass for the beginning of the other", a.Name, b.Name)
		}
	}
	return nil
}

func isBody(r *block.Ref) bool { return r != nil && r.Name == "raw_body" }
