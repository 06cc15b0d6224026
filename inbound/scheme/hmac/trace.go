package hmac

import (
	"crypto/sha256"
	"fmt"
	"hash"
)

// counted is a hash that knows how much was written to it.
type counted struct {
	hash.Hash
	n int
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += len(b)
	return c.Hash.Write(b)
}

// trace tells, to whoever wants to know, how many bytes are signed and what their
// digest is, unless the secret is among them.
func (g *Grammar) trace(s *signed) {
	if s.Trace == nil || g.SecretIn == InMessage {
		return
	}
	h := &counted{Hash: sha256.New()}
	if !g.write(h, s) {
		s.Trace("signed", "the message cannot be put together: a part of it is missing")
		return
	}
	s.Trace("signed", fmt.Sprintf("%d bytes, sha256 %x, by %d signatures that can be read", h.n, h.Sum(nil), len(s.group.signatures)))
}
