package connect

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// lifetime is how long a link is good, and how long a customer may take at the
// provider.
const lifetime = 10 * time.Minute

// The kinds of tickets.
const (
	linkTicket  = "link"
	stateTicket = "state"
)

// A link is what stands behind the address that an application was given.
type link struct {
	Provider   string `json:"provider"`
	Account    string `json:"account"`
	Credential string `json:"credential"`
	ReturnTo   string `json:"return_to,omitempty"`
	By         string `json:"by"` // who asked for it
}

// A trip is an authorization under way: the customer is at the provider.
type trip struct {
	link
	Verifier string `json:"verifier"` // PKCE, RFC 7636
	Browser  []byte `json:"browser"`  // SHA-256 of the secret in the browser's cookie
	Redirect string `json:"redirect"` // redirect_uri of the request, which the exchange has to repeat
	Asked    []byte `json:"asked"`    // what was asked of whom, see asked
}

// keep stores v under the digest of secret. Only whoever has the secret finds
// it, and only whoever has the seal key can read it.
func (s *Server) keep(ctx context.Context, kind, secret string, v any, expires time.Time) error {
	ring, err := s.opt.Ring()
	if err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a ticket: %w", err)
	}
	id := ticketID(kind, secret)
	t := connection.Ticket{ID: id, Sealed: ring.Seal(text, ticketBound(kind, id)...), Expires: expires}
	if err := s.opt.Store.Keep(ctx, t); err != nil {
		return fmt.Errorf("store a ticket: %w", err)
	}
	return nil
}

// errSpent says that there is no such ticket: it never was, is over, or was
// used.
var errSpent = errors.New("it is unknown, has expired, or was used already")

// look reads a ticket and leaves it.
func (s *Server) look(ctx context.Context, kind, secret string, into any) error {
	return s.read(ctx, s.opt.Store.Look, kind, secret, into)
}

// spend takes a ticket: of all that come with it, one gets it. It is looked for
// first, so that made-up ones never write to the store.
func (s *Server) spend(ctx context.Context, kind, secret string, into any) error {
	if err := s.look(ctx, kind, secret, into); err != nil {
		return err
	}
	return s.read(ctx, s.opt.Store.Take, kind, secret, into)
}

func (s *Server) read(ctx context.Context, get func(context.Context, []byte) (connection.Ticket, error), kind, secret string, into any) error {
	if !wellFormed(secret) {
		return errSpent
	}
	ring, err := s.opt.Ring()
	if err != nil {
		return err
	}
	id := ticketID(kind, secret)
	t, err := get(ctx, id)
	if errors.Is(err, connection.ErrUnknown) {
		return errSpent
	} else if err != nil {
		return fmt.Errorf("read a ticket: %w", err)
	}
	text, err := ring.Open(t.Sealed, ticketBound(kind, id)...)
	if err != nil {
		return fmt.Errorf("open a ticket: %w", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read a ticket: %w", err)
	}
	return nil
}

// ticketID is what a ticket is found by. A secret of one kind finds none of the
// other.
func ticketID(kind, secret string) []byte {
	sum := sha256.Sum256([]byte(kind + " " + secret))
	return sum[:]
}

func ticketBound(kind string, id []byte) []string {
	return []string{"connect", kind, hex.EncodeToString(id)}
}

// wellFormed reports whether a secret has the form of those that are given out:
// 256 bits. Others cost no look into the store.
func wellFormed(secret string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	return err == nil && len(b) == sha256.Size
}
