package proxy

import (
	"net/textproto"
	"strings"
	"time"
)

const (
	maxTags    = 512 // bytes of Postern-Tags
	maxAccount = 256 // bytes of an account's name
)

// control reads one header that is meant for Postern.
func (c *call) control(name string, values []string) error {
	if len(values) > 1 && name != "Postern-Tags" {
		return badRequest("there is more than one "+name, "")
	}
	switch v := values[0]; name {
	case "Postern-Tags":
		tags := strings.Join(values, ",")
		if !validTags(tags) {
			return badRequest("Postern-Tags is not a short list of key=value", "at most 8 pairs, separated by commas; keys of letters, digits, '.', '_', '-'; values of visible characters")
		}
		c.x.Tags = tags
	case "Postern-Account":
		if !validAccount(v) {
			return badRequest("Postern-Account is not the name of an account", "")
		}
		c.head.account = v
	case "Postern-Timeout":
		d, ok := parseTimeout(v)
		if !ok {
			return badRequest("Postern-Timeout is neither a duration nor a number of seconds", `such as "2.5s" or "30"`)
		}
		c.x.Total = c.x.Start.Add(d)
	case "Postern-Async":
		if v != "true" && v != "false" {
			return badRequest("Postern-Async is neither true nor false", `Send "Postern-Async: true", or leave it out.`)
		}
		c.head.async = v == "true"
	}
	return nil
}

// parseTimeout reads a Go duration or a number of seconds, which has to be
// positive and at most a day.
func parseTimeout(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	if err != nil {
		if strings.Trim(s, "0123456789.") != "" {
			return 0, false
		}
		if d, err = time.ParseDuration(s + "s"); err != nil {
			return 0, false
		}
	}
	return d, d > 0 && d <= 24*time.Hour
}

// validTags checks "key=value,key=value".
func validTags(s string) bool {
	if len(s) > maxTags || strings.Count(s, ",") >= 8 {
		return false
	}
	for pair := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(textproto.TrimString(pair), "=")
		if !ok || k == "" || len(k) > 32 || v == "" || len(v) > 64 || strings.IndexFunc(k, notKey) >= 0 || strings.IndexFunc(v, notVisible) >= 0 {
			return false
		}
	}
	return true
}

func notKey(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

// validAccount refuses what could not stand in a header or a log line.
func validAccount(s string) bool {
	return s != "" && len(s) <= maxAccount && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) < 0
}
