package telemetry

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText is how long one value in a log line may be, in bytes.
const maxText = 8 << 10

// clean makes s fit for a line: what could begin a new line, hide one, steer a
// terminal or turn the direction of text is written as an escape (claim C55).
// What is too long is cut.
func clean(s string) string {
	if len(s) > maxText {
		s = fmt.Sprintf("%s… (%d bytes more)", strings.ToValidUTF8(s[:maxText], ""), len(s)-maxText)
	}
	if !strings.ContainsFunc(s, unfit) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		switch {
		case !unfit(c):
			b.WriteRune(c)
		case c > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// unfit reports control characters (Cc), formats such as U+202E and U+200B (Cf),
// line and paragraph separators (Zl, Zp), and bytes that are no UTF-8.
func unfit(c rune) bool {
	if c < utf8.RuneSelf {
		return c < ' ' || c == 0x7f
	}
	return c == utf8.RuneError || unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
