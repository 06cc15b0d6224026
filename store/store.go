// Package store keeps what must outlive a request.
//
// Read sqlite.go for how a database is opened and what is checked first,
// writer.go for the one goroutine that writes, then the files of what is kept:
// inbox_write.go, inbox_claim.go and inbox_read.go for the inbox. memory.go and
// memory_read.go are the same without a disk; migrations holds the schema.
// Package storetest says what every implementation promises.
package store

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Config is the store block.
type Config struct {
	URL    string         `hcl:"url,optional"`
	Retain block.Duration `hcl:"retain,optional"` // after its last move an event is kept this long; 0s is for ever
	Range  hcl.Range      `hcl:",def_range"`
}

// Default sets an SQLite database beside the policy, and thirty days.
func (c *Config) Default() {
	c.URL = "sqlite:postern.db"
	_ = c.Retain.UnmarshalText([]byte("30d"))
}

// Check implements [block.Checker].
func (c *Config) Check() error {
	kind, rest, _ := strings.Cut(c.URL, ":")
	switch {
	case kind == "postgres" || kind == "postgresql":
		return block.At("url", "PostgreSQL is part of the policy language but not built yet: use %q", "sqlite:postern.db")
	case kind != "sqlite" || rest == "" || strings.HasPrefix(rest, "//") || strings.ContainsAny(rest, "?#"):
		return block.At("url", "url must name a file, such as %q", "sqlite:postern.db")
	}
	return nil
}

// Path is the file of the database. A relative one is relative to the folder of
// the file that the block stands in, or to dir if there is no block.
func (c *Config) Path(dir string) string {
	path := strings.TrimPrefix(c.URL, "sqlite:")
	if filepath.IsAbs(path) {
		return path
	}
	if c.Range.Filename != "" {
		dir = filepath.Dir(c.Range.Filename)
	}
	return filepath.Join(dir, path)
}

func errIllegal(from, to inbound.State) error {
	return fmt.Errorf("there is no move from %s to %s", from, to)
}
