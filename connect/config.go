package connect

import (
	"errors"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the connect block.
type Config struct {
	Listen    string            `hcl:"listen,optional"`
	PublicURL string            `hcl:"public_url"`         // the origin under which customers see the listener
	Title     string            `hcl:"title,optional"`     // of the application, as its customers know it
	Names     map[string]string `hcl:"names,optional"`     // of providers, as customers know them
	ReturnTo  []string          `hcl:"return_to,optional"` // origins to which a browser may be sent at the end, besides that of public_url
	Embed     []string          `hcl:"embed,optional"`     // origins whose pages may show a link in a frame
	Range     hcl.Range         // of the block
	TLS       *block.TLS        `hcl:"tls,block"`
}

// Default listens on loopback, for a load balancer that ends TLS.
func (c *Config) Default() { c.Listen = "127.0.0.1:8083" }

// maxTitle is how long what stands in a headline may be, in characters.
const maxTitle = 60

func printable(text string) bool {
	return utf8.RuneCountInString(text) <= maxTitle && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}

// Check refuses what is no address or no origin, and clear text that others
// could read. The origins are kept in the one way in which browsers write them.
func (c *Config) Check() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, block.At("listen", "%q is not HOST:PORT", c.Listen))
	}
	var err error
	if c.PublicURL, err = parseOrigin(c.PublicURL); err != nil {
		errs = append(errs, block.At("public_url", "%w: it has no path, because the listener needs a host of its own", err))
	} else if c.TLS != nil && !c.secure() {
		errs = append(errs, block.At("public_url", "the listener has tls, so public_url begins with https"))
	}
	for attr, list := range map[string][]string{"return_to": c.ReturnTo, "embed": c.Embed} {
		for i, text := range list {
			if list[i], err = parseOrigin(text); err != nil {
				errs = append(errs, block.At(attr, "%w", err))
			}
		}
	}
	if !printable(c.Title) {
		errs = append(errs, block.At("title", "it stands in a headline: at most %d printable characters", maxTitle))
	}
	for provider, name := range c.Names {
		if name == "" || !printable(name) {
			errs = append(errs, block.At("names", "the name of %s stands in a headline: 1 to %d printable characters", provider, maxTitle))
		}
	}
	return errors.Join(errs...)
}

// secure reports whether customers come by TLS.
func (c *Config) secure() bool { return strings.HasPrefix(c.PublicURL, "https://") }

// callback is where a provider sends browsers back to. Each provider has a path
// of its own, so that the answer of one cannot be taken for that of another
// (RFC 9700 section 4.4.2.2).
func (c *Config) callback(provider string) string { return c.PublicURL + "/callback/" + provider }

// shown is the name of a provider as its customers know it.
func (c *Config) shown(provider string) string {
	if name := c.Names[provider]; name != "" {
		return name
	}
	words := strings.NewReplacer("_", " ", "-", " ").Replace(provider)
	first, size := utf8.DecodeRuneInString(words)
	return string(unicode.ToUpper(first)) + words[size:]
}
