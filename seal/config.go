package seal

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
)

// Config is the seal block.
type Config struct {
	Keys  []block.Secret `hcl:"keys"` // newest first
	Range hcl.Range      `hcl:",def_range"`
}

// Ring reads the keys as they are now. The error says which one cannot be used,
// and never shows it.
func (c *Config) Ring() (*Ring, error) {
	keys := make([]Key, len(c.Keys))
	for i, s := range c.Keys {
		text, err := s.Reveal()
		if err != nil {
			return nil, fmt.Errorf("seal.keys cannot be used: %w", err)
		}
		if keys[i], err = Parse(text); err != nil {
			return nil, fmt.Errorf("seal.keys cannot be used: %s: %w", s, err)
		}
	}
	r, err := NewRing(keys...)
	if err != nil {
		return nil, fmt.Errorf("seal.keys cannot be used: %w", err)
	}
	return r, nil
}
