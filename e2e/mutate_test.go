package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// mutations are the changes that every scheme must notice, made to a rightly signed post: all its headers but the
// content type carry a signature or something signed. GitHub's delivery and event names are neither, and are left
// alone here.
func mutations(p post) map[string]post {
	out := map[string]post{}
	body := func(name, b string) {
		m := p
		m.Body = b
		out[name] = m
	}
	if p.Body != "" {
		flipped := []byte(p.Body)
		flipped[len(flipped)/2] ^= 1
		body("one bit of the body", string(flipped))
		body("last byte missing", p.Body[:len(p.Body)-1])
		body("empty body", "")
	}
	body("newline appended", p.Body+"\n")
	body("space before", " "+p.Body)
	if strings.Contains(p.Body, ":") {
		body("re-serialised", strings.Replace(p.Body, ":", ": ", 1))
	}
	for _, h := range p.Headers {
		name, value := h[0], h[1]
		switch strings.ToLower(name) {
		case "content-type", "x-github-delivery", "x-github-event":
			continue
		}
		out["without "+name] = p.without(name)
		out["empty "+name] = p.set(name, "")
		out[name+" good then bad"] = p.with(name, wrong(value))
		out[name+" bad then good"] = p.without(name).with(name, wrong(value)).with(name, value)
		out[name+" twice"] = p.with(name, value)
		out[name+" wrong"] = p.set(name, wrong(value))
		out[name+" truncated"] = p.set(name, value[:len(value)-1])
		if at, sig, kind := signature(value); sig != nil {
			for enc, text := range encodings(sig, kind) {
				out[name+" "+enc] = p.set(name, value[:at]+text)
			}
			out[name+" prefix only"] = p.set(name, value[:at])
			out[name+" half a signature"] = p.set(name, value[:at]+value[at:at+(len(value)-at)/4*2])
		}
	}
	return out
}

// wrong changes the last letter or digit that carries information.
func wrong(value string) string {
	b := []byte(value)
	i := len(strings.TrimRight(value, "=")) - 2
	if i < 0 {
		return value + "0"
	}
	if b[i] == '0' {
		b[i] = '1'
	} else {
		b[i] = '0'
	}
	return string(b)
}

// signature finds a MAC of at least 160 bits at the end of a header value, in hexadecimal or base64.
func signature(value string) (at int, sig []byte, kind string) {
	at = strings.LastIndexAny(strings.TrimRight(value, "="), "=, ") + 1
	text := value[at:]
	if b, err := hex.DecodeString(text); err == nil && len(b) >= 20 {
		return at, b, "hex"
	}
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && len(b) >= 20 {
		return at, b, "base64"
	}
	return at, nil, ""
}

// encodings are the other ways to write the same MAC: none of them is what the provider sends.
func encodings(sig []byte, kind string) map[string]string {
	out := map[string]string{}
	std := base64.StdEncoding.EncodeToString(sig)
	switch kind {
	case "hex":
		out["in base64"] = std
		out["with 0x"] = "0x" + hex.EncodeToString(sig)
	case "base64":
		out["in hex"] = hex.EncodeToString(sig)
		if raw := base64.RawStdEncoding.EncodeToString(sig); raw != std {
			out["unpadded"] = raw
		}
		if url := base64.URLEncoding.EncodeToString(sig); url != std {
			out["url-safe"] = url
		}
	}
	return out
}
