package canary

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"testing"
)

const awkward = `"<&%+/\é=`

// TestEveryFormIsFound is the scanner's positive control.
func TestEveryFormIsFound(t *testing.T) {
	s, other := New("key", "whsec_", awkward), New("other", "whsec_", awkward)
	js, _ := json.Marshal(map[string]string{"error": "bad " + s.Value + " here"})
	for name, text := range map[string]string{
		"raw":          "x" + s.Value + "y",
		"raw in part":  "token " + s.Value[:22] + "…",
		"basic":        "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+s.Value)),
		"basic, empty": "Basic " + base64.StdEncoding.EncodeToString([]byte(s.Value+":")),
		"base64 url":   base64.URLEncoding.EncodeToString([]byte("a" + s.Value)),
		"base64 short": base64.RawStdEncoding.EncodeToString([]byte("ab" + s.Value)),
		"hex":          hex.EncodeToString([]byte("ab" + s.Value + "c")),
		"HEX":          fmt.Sprintf("%X", s.Value),
		"query":        "/x?" + url.Values{"key": {s.Value}}.Encode(),
		"path":         "/" + url.PathEscape(s.Value),
		"json":         string(js),
		"quoted":       strconv.Quote("get \"" + s.Value + "\""),
		"q twice":      strconv.Quote(strconv.Quote(s.Value)),
	} {
		if hits := Scan("the text", []byte(text), s); len(hits) == 0 {
			t.Errorf("%s: not found in %q", name, text)
		}
		if hits := Scan("the text", []byte(text), other); len(hits) != 0 {
			t.Errorf("%s: %v", name, hits)
		}
	}
}
