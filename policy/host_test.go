package policy

import "testing"

func TestHostCovers(t *testing.T) {
	for _, c := range []struct {
		host       Host
		name, port string
		want       bool
	}{
		{"api.example.com", "api.example.com", "", true},
		{"api.example.com", "api.example.com", "443", true},
		{"api.example.com", "api.example.com", "80", true},
		{"api.example.com", "api.example.com", "8443", false},
		{"api.example.com", "example.com", "443", false},
		{"api.example.com:8443", "api.example.com", "8443", true},
		{"api.example.com:8443", "api.example.com", "443", false},
		{"api.example.com:443", "api.example.com", "443", true},
		{"api.example.com:443", "api.example.com", "80", false},
		{"*.example.com", "a.example.com", "443", true},
		{"*.example.com", "a.b.example.com", "443", true},
		{"*.example.com", "example.com", "443", false},
		{"*.example.com", "evilexample.com", "443", false},
		{"*.example.com", ".example.com", "443", false},
		{"*.example.com:8443", "a.example.com", "8443", true},
		{"[2001:db8::1]", "2001:db8::1", "443", true},
		{"[2001:db8::1]:8443", "2001:db8::1", "8443", true},
		{"[2001:db8::1]:8443", "2001:db8::1", "443", false},
	} {
		if got := c.host.Covers(c.name, c.port); got != c.want {
			t.Errorf("%q covers %q port %q: %v", c.host, c.name, c.port, got)
		}
	}
}
