package form

import (
	"net/url"
	"testing"
)

// FuzzSorted: the order in which fields are sent says nothing, and no field is lost.
func FuzzSorted(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "a=2&a=1", "=&=", "a=%zz", "a;b", "%00=%ff", "a+b=c%26"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text, err := Sorted(body)
		if err != nil {
			return
		}
		values, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatalf("%q was taken, and is no form", body)
		}
		again, err := Sorted([]byte(values.Encode()))
		if err != nil || again != text {
			t.Errorf("%q gives %q, and in another order %q, %v", body, text, again, err)
		}
	})
}

// FuzzPorts: a URL is among the ways to write it.
func FuzzPorts(f *testing.F) {
	for _, seed := range []string{"https://a:443/x", "http://a", "https://[::1]:443?x", "://", "https://", "https://a:80/:443"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if ways := Ports(raw); len(ways) == 0 || len(ways) > 2 || ways[0] != raw {
			t.Errorf("%q: %q", raw, ways)
		}
	})
}
