package limit

import "strings"

// usual is the urgency of a call that says none.
const usual = 3

// urgency reads what a call says of its priority: high, normal, low, or a number
// from 0, which comes first, to 7, the urgency of RFC 9218 section 4.1, also as its
// Priority field has it (u=1, i). Anything else is usual.
func urgency(text string) int {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		switch part {
		case "high":
			return 1
		case "normal":
			return usual
		case "low":
			return 5
		}
		if n := strings.TrimPrefix(part, "u="); len(n) == 1 && n[0] >= '0' && n[0] < '0'+levels {
			return int(n[0] - '0')
		}
	}
	return usual
}
