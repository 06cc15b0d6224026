package store

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the store block.
type Config struct {
	URL    block.Secret   `hcl:"url,optional" literal:"allowed"` // sqlite:PATH or postgres://…
	Retain block.Duration `hcl:"retain,optional"`                // after its last move an event is kept this long; 0s is for ever
	// RetainBodies and RetainSize are about the bodies of finished events; 0 is no limit.
	RetainBodies block.Duration `hcl:"retain_bodies,optional"`
	RetainSize   block.Size     `hcl:"retain_size,optional"`
	Answers      block.Size     `hcl:"answers,optional"` // of answers under idempotency keys that are kept; of more the oldest go
	Range        hcl.Range      `hcl:",def_range"`
}

// Default sets an SQLite database beside the policy, thirty days and a GiB.
func (c *Config) Default() {
	c.URL = block.Written("sqlite:postern.db")
	_ = c.Retain.UnmarshalText([]byte("30d"))
	c.Answers = 1 << 30
}

// Check implements [block.Checker]. A URL that comes from elsewhere is checked
// when it is needed.
func (c *Config) Check() error {
	if c.Retain.Duration > 0 && c.RetainBodies.Duration > c.Retain.Duration {
		return block.At("retain_bodies", "retain_bodies is longer than retain (%s), and no body outlives its event: write a shorter one, or leave it out", c.Retain)
	}
	text, ok := c.URL.Literal()
	if !ok {
		return nil
	}
	if user, _, ok := strings.Cut(text, "@"); ok && strings.Count(user, ":") > 1 || strings.Contains(text, "password=") {
		return block.At("url", `%w: write url = env("DATABASE_URL"), and put the whole URL there`, block.ErrWritten)
	}
	if err := CheckURL(text); err != nil {
		return block.At("url", "%v", err)
	}
	return nil
}

// CheckURL says what is wrong with the URL of a store. It never shows the URL: it
// may hold a password.
func CheckURL(text string) error {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "sqlite":
		if rest == "" || strings.HasPrefix(rest, "//") || strings.ContainsAny(rest, "?#") {
			return fmt.Errorf("url must name a file, such as %q", "sqlite:postern.db")
		}
		return nil
	case "postgres", "postgresql":
		u, err := url.Parse(text)
		if err != nil || u.Host == "" && u.Query().Get("host") == "" || strings.Trim(u.Path, "/") == "" {
			return fmt.Errorf("url must name a host and a database, such as %q", "postgres://postern@db.internal/postern")
		}
		if strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
			return errors.New("url has an @ after the server: a / in a password is written %2F, a ? %3F and a # %23")
		}
		return nil
	}
	return fmt.Errorf("url must be %q or %q", "sqlite:FILE", "postgres://USER@HOST/DATABASE")
}

// ErrURL says that the URL of the store cannot be used.
var ErrURL = errors.New("store.url cannot be used")

// Where is what [Open] takes: "sqlite:" with an absolute path, or the URL of a
// PostgreSQL database. A relative path is relative to the folder of the file
// that the block stands in, or to dir if there is no block. It may hold a
// password.
func (c *Config) Where(dir string) (string, error) {
	text, err := c.URL.Reveal()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrURL, err)
	}
	if err := CheckURL(text); err != nil {
		return "", fmt.Errorf("%w: %w", ErrURL, err)
	}
	path, ok := strings.CutPrefix(text, "sqlite:")
	if !ok || filepath.IsAbs(path) {
		return text, nil
	}
	if c.Range.Filename != "" {
		dir = filepath.Dir(c.Range.Filename)
	}
	abs, err := filepath.Abs(filepath.Join(dir, path))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrURL, err)
	}
	return "sqlite:" + abs, nil
}

// Alone reports whether the database can be used by this process only.
func (c *Config) Alone() bool {
	text, ok := c.URL.Literal()
	return ok && strings.HasPrefix(text, "sqlite:")
}
