package limit

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// ratelimit names the RateLimit fields as the source of a limit.
const ratelimit = "ratelimit"

// fields reads the RateLimit fields of every draft that is in use
// (draft-ietf-httpapi-ratelimit-headers):
//
//	RateLimit: "default";r=50;t=30                    from -08 on, also default;r=50;t=30
//	RateLimit: limit=100, remaining=50, reset=30      -07
//	RateLimit-Remaining: 50 and RateLimit-Reset: 30   up to -06
//
// r and remaining are what is left, t and reset seconds until there is all of it
// again. Of several policies the tightest counts, the one of which least is left. One
// without a reset has the window of the policy of its name in RateLimit-Policy.
// What is malformed is ignored, as the drafts demand.
func fields(h http.Header) (said word, ok bool) {
	members, fine := list(h.Values("Ratelimit"))
	if !fine {
		return word{}, false
	}
	if old, ok := dictionary(members); ok {
		return old, true
	}
	for _, m := range members {
		left, fine := number(m.param["r"])
		if !fine {
			continue
		}
		next := word{left: left, reset: reset(m.param["t"])}
		if next.reset < 0 {
			next.reset = windowOf(h, m.name)
		}
		if !ok || next.left < said.left || next.left == said.left && next.reset > said.reset {
			said, ok = next, true
		}
	}
	if ok || len(members) > 0 {
		return said, ok
	}
	left, fine := number(h.Get("Ratelimit-Remaining"))
	return word{left: left, reset: reset(h.Get("Ratelimit-Reset"))}, fine
}

// dictionary reads the form of draft -07, in which the members are keys.
func dictionary(members []member) (said word, ok bool) {
	said.reset = -1
	for _, m := range members {
		switch key, value, _ := strings.Cut(m.name, "="); key {
		case "remaining":
			said.left, ok = number(value)
		case "reset":
			said.reset = reset(value)
		}
	}
	return said, ok
}

// windowOf is the length of the window of a policy, at most so long is it until
// the reset.
func windowOf(h http.Header, name string) time.Duration {
	members, _ := list(h.Values("Ratelimit-Policy"))
	for _, m := range members {
		if m.name == name {
			return reset(m.param["w"])
		}
	}
	return -1
}

// reset reads whole seconds, below 0 if it is none.
func reset(text string) time.Duration {
	n, ok := number(text)
	if !ok || n != math.Trunc(n) || n > credible.Seconds() {
		return -1
	}
	return time.Duration(n) * time.Second
}

// member is a member of a list of structured fields (RFC 9651 section 3.1).
type member struct {
	name  string // without its quotes
	param map[string]string
}

// list reads a list of names with parameters; not ok if it is none.
func list(values []string) (all []member, ok bool) {
	rest := strings.Join(values, ",")
	for rest = strings.Trim(rest, " \t"); rest != ""; {
		m := member{param: map[string]string{}}
		if m.name, rest, ok = item(rest); !ok || m.name == "" {
			return nil, false
		}
		for strings.HasPrefix(rest, ";") {
			var text, value string
			if text, rest, ok = item(strings.TrimLeft(rest[1:], " ")); !ok {
				return nil, false
			}
			key, value, _ := strings.Cut(text, "=")
			if value == "" && strings.HasSuffix(text, "=") { // a string
				if value, rest, ok = item(rest); !ok {
					return nil, false
				}
			}
			m.param[key] = value
		}
		all = append(all, m)
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return nil, false
		}
		if rest = strings.TrimLeft(rest[1:], " \t"); rest == "" {
			return nil, false // a comma at the end
		}
	}
	return all, true
}

// item takes a string in quotes, or a text up to the next separator or quote, from
// the beginning of text.
func item(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, `,; "`+"\t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c < ' ' || c > '~':
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
