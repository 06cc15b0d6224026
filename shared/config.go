package shared

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the shared block.
type Config struct {
	URL    block.Secret `hcl:"url" literal:"allowed"` // redis://… or rediss://…
	Prefix string       `hcl:"prefix,optional"`       // of every key, to tell environments apart
}

// Default sets the prefix.
func (c *Config) Default() { c.Prefix = "postern" }

// Check implements [block.Checker]. A URL that comes from elsewhere is checked
// when it is needed.
func (c *Config) Check() error {
	var errs []error
	if c.Prefix == "" || len(c.Prefix) > 64 || strings.ContainsAny(c.Prefix, "{} \t\r\n") {
		errs = append(errs, block.At("prefix", "%q is not a prefix of up to 64 letters, without spaces and braces", c.Prefix))
	}
	if text, ok := c.URL.Literal(); ok {
		if u, err := url.Parse(text); err != nil || u.User != nil || strings.Contains(text, "@") {
			errs = append(errs, block.At("url", `%w: write url = env("REDIS_URL"), and put the whole URL there`, block.ErrWritten))
		} else if _, err := parse(text); err != nil {
			errs = append(errs, block.At("url", "%v", err))
		}
	}
	return errors.Join(errs...)
}

// Where is the URL, which may hold a password. It is "" if there is no block.
func (c *Config) Where() (string, error) {
	if c == nil {
		return "", nil
	}
	text, err := c.URL.Reveal()
	if err != nil {
		return "", fmt.Errorf("shared.url cannot be used: %w", err)
	}
	if _, err := parse(text); err != nil {
		return "", fmt.Errorf("shared.url cannot be used: %w", err)
	}
	return text, nil
}

// parse never shows the URL in an error. Parameters are refused: they could set
// what package shared relies on.
func parse(text string) (*redis.Options, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errURL
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if n, err := strconv.Atoi(db); err != nil || n < 0 {
			return nil, errURL
		}
	}
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, errURL
	}
	return o, nil
}

var errURL = errors.New(`url must be "redis://HOST:PORT/DATABASE" or, with TLS, "rediss://HOST:PORT/DATABASE", without parameters`)
