package connection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/seal"
)

// ParcelFormat names the form of a [Parcel].
const ParcelFormat = "postern-connection-1"

// A Parcel is a connection on its way to another Postern, or to whoever has the
// key: everything that counts is sealed. What else it says is for people, and is
// not believed.
type Parcel struct {
	Key
	State  State
	Expiry time.Time // of the access token; zero is unknown
	Sealed []byte    // a Carried as JSON, bound to the format and the key
}

// Carried is a grant without the connection that it is of.
type Carried struct {
	Access        string          `json:"access_token,omitempty"`
	Refresh       string          `json:"refresh_token,omitempty"`
	Expiry        time.Time       `json:"expires_at,omitzero"` // of the access token; zero is unknown
	RefreshExpiry time.Time       `json:"refresh_expires_at,omitzero"`
	Scopes        []string        `json:"scopes,omitempty"` // that were granted; none is as asked
	Answer        json.RawMessage `json:"answer,omitempty"` // of the provider, from which the token was read
}

// exportKey reads the key under which parcels are sealed.
func exportKey(text string) (*seal.Ring, error) {
	key, err := seal.Parse(text)
	if err != nil {
		return nil, &RequestError{Why: fmt.Sprintf("the key for the export cannot be used: %v", err), Hint: "postern secrets keygen makes one."}
	}
	return seal.NewRing(key)
}

func parcelBound(k Key) []string {
	return []string{ParcelFormat, k.Provider, k.Account, k.Credential}
}

// Export returns up to limit connections behind after, sealed under key, which is
// a seal key as `postern secrets keygen` makes it, and the last one it has looked
// at; that is zero if there are no more. Left out are those without a grant, and
// those whose tokens need none. A refresh token that rotates is good until either
// side has used it.
func (k *Keeper) Export(ctx context.Context, key, provider string, after Key, limit int) (parcels []Parcel, last Key, err error) {
	ring, err := exportKey(key)
	if err != nil {
		return nil, last, err
	}
	rows, err := k.opt.Store.List(ctx, Filter{Provider: provider, After: after, Limit: limit})
	if err != nil {
		return nil, last, fmt.Errorf("export connections: %w", err)
	}
	if len(rows) == limit {
		last = rows[len(rows)-1].Key
	}
	for i := range rows {
		r := &rows[i]
		s := k.Source(r.Key)
		if r.State != Active && r.State != Refreshing || len(r.Access)+len(r.Refresh) == 0 || s != nil && !s.Person {
			continue
		}
		t, err := k.open(r)
		if err != nil {
			return nil, last, fmt.Errorf("export %s: %w", r.Key, err)
		}
		c := Carried{Access: t.Access, Refresh: t.Refresh, Expiry: r.Expiry, RefreshExpiry: r.RefreshExpiry, Scopes: r.Granted}
		if json.Valid(t.Raw) {
			c.Answer = t.Raw
		}
		text, err := json.Marshal(&c)
		if err != nil {
			return nil, last, fmt.Errorf("export %s: %w", r.Key, err)
		}
		parcels = append(parcels, Parcel{Key: r.Key, State: r.State, Expiry: r.Expiry, Sealed: ring.Seal(text, parcelBound(r.Key)...)})
	}
	return parcels, last, nil
}

// Unpack opens a parcel. The error is a [RequestError].
func Unpack(key string, p *Parcel) (*Carried, error) {
	ring, err := exportKey(key)
	if err != nil {
		return nil, err
	}
	text, err := ring.Open(p.Sealed, parcelBound(p.Key)...)
	if err != nil {
		return nil, &RequestError{Why: fmt.Sprintf("what is sealed for %s cannot be opened: %v", p.Key, err), Hint: "It was sealed under another key, or changed since: the provider, the account and the credential are bound to it."}
	}
	c := new(Carried)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, &RequestError{Why: fmt.Sprintf("what is sealed for %s is no grant", p.Key), Hint: "It was sealed by something else."}
	}
	return c, nil
}

// Import makes c the grant of an account. One that has, or had, a grant here
// keeps it unless overwrite is set. The error is a [RequestError], or that of the
// store.
func (k *Keeper) Import(ctx context.Context, s *Source, account string, c *Carried, overwrite bool, by string) error {
	if err := errors.Join(CheckAccount(account), c.check()); err != nil {
		return err
	}
	t := &oauth.Token{Access: c.Access, Refresh: c.Refresh, Expiry: c.Expiry, RefreshExpiry: c.RefreshExpiry, Scopes: c.Scopes, Raw: c.Answer}
	_, err := k.accept(ctx, s, account, t, Move{Reason: "imported", By: by}, func(r *Row) error {
		if overwrite || r.State == Pending {
			return nil
		}
		return &RequestError{Exists: true, Why: fmt.Sprintf("there is a connection %s already, which is %s", r.Key, r.State), Hint: "To replace it, ask for overwrite."}
	})
	return err
}

const maxCarried = 64 << 10 // bytes of each part

// check refuses what no provider gives, and what is of no use.
func (c *Carried) check() error {
	bad := func(why, hint string) error { return &RequestError{Why: why, Hint: hint} }
	for name, value := range map[string]string{"access token": c.Access, "refresh token": c.Refresh} {
		if len(value) > maxCarried || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return bad("the "+name+" is not one: it is too long, or holds a space, a line break or what is no ASCII", "Export it again; a line may be broken.")
		}
	}
	over := !c.Expiry.IsZero() && !time.Now().Before(c.Expiry)
	switch {
	case c.Access == "" && c.Refresh == "":
		return bad("there is neither an access token nor a refresh token", "There is nothing to import.")
	case c.Refresh == "" && over:
		return bad("the access token has expired, and there is nothing to renew it with", "Have the account connected again.")
	case len(c.Answer) > maxCarried || len(c.Answer) > 0 && !json.Valid(c.Answer):
		return bad("the provider's answer is no JSON, or too long", "Leave it out, unless the policy has base_url.")
	}
	return nil
}
