package policy

// A Host is "api.example.com" or "*.example.com", in lower case, with a port
// if it is not the default one.
type Host string

type suffix struct {
	dot string
	p   *Provider
}

type routed struct {
	pattern Pattern
	plan    *Plan
}

type labelled struct {
	pattern Pattern
	label   string
}

// A Pattern is "METHOD /a/{id}/c" or "/a/**".
type Pattern struct{}
