package policy

import (
	"net/url"
	"strings"
)

// SetPath sets the path of u as it goes over the wire.
func SetPath(u *url.URL, escaped string) {
	plain, err := url.PathUnescape(escaped)
	if err != nil {
		plain = escaped
	}
	u.Path, u.RawPath = plain, escaped
}

// SetQuery removes every parameter of that name, in whatever encoding, and
// appends one. The rest of the query stays byte for byte, also what cannot be
// parsed.
func SetQuery(u *url.URL, name, value string) {
	u.RawQuery = DropQuery(u.RawQuery, name)
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += url.QueryEscape(name) + "=" + url.QueryEscape(value)
	u.ForceQuery = false
}

// DropQuery returns raw without the parameters of that name.
func DropQuery(raw, name string) string {
	if raw == "" {
		return ""
	}
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		key, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(key); err == nil && plain == name {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}
