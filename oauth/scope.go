package oauth

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// ScopeDiff compares what was asked for with what was granted, each in the
// order of its list and without repetitions. A nil granted means that the
// server did not say, which means all that was asked for (RFC 6749 §5.1).
// Anything extra is more than the least privilege.
func ScopeDiff(asked, granted []string) (missing, extra []string) {
	if granted == nil {
		return nil, nil
	}
	return without(asked, granted), without(granted, asked)
}

func without(list, other []string) (rest []string) {
	for _, s := range list {
		if !slices.Contains(other, s) && !slices.Contains(rest, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

// scopesOf reads a string, separated by spaces, commas (GitHub answers with
// them, though it is asked with spaces) or the server's own separator, or a list
// of strings (Twitch). It is nil if there is none.
func scopesOf(v gjson.Result, separator string) []string {
	scopes := []string{}
	switch {
	case v.Type == gjson.String:
		return append(scopes, strings.FieldsFunc(v.Str, func(r rune) bool {
			return r == ' ' || r == ',' || r == '\t' || strings.ContainsRune(separator, r)
		})...)
	case v.IsArray():
		for _, s := range v.Array() {
			if s.Type == gjson.String && s.Str != "" {
				scopes = append(scopes, s.Str)
			}
		}
		return scopes
	}
	return nil
}
