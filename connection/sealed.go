package connection

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/oauth"
)

// The sealed columns. Each is bound to the connection, to itself, and to where
// its content may go: a column that is moved to another row, and a row whose
// hosts or base URL were changed in the database, cannot be opened (claim C3).
const (
	columnAccess  = "access"
	columnRefresh = "refresh"
	columnExtra   = "extra" // the provider's answer, from which the token was read
)

// ErrHosts says that a policy names hosts that a connection is not sealed for.
var ErrHosts = errors.New("the hosts of the provider were changed since the account was connected")

func bound(r *Row, column string) []string {
	return []string{r.Provider, r.Account, r.Credential, column, strings.Join(r.Hosts, "\n"), r.BaseURL}
}

// sealToken fills in the sealed columns of r.
func (k *Keeper) sealToken(r *Row, t *oauth.Token) error {
	ring, err := k.opt.Ring()
	if err != nil {
		return err
	}
	seal := func(column, plain string) []byte {
		if plain == "" {
			return nil
		}
		return ring.Seal([]byte(plain), bound(r, column)...)
	}
	r.Access, r.Refresh, r.Extra = seal(columnAccess, t.Access), seal(columnRefresh, t.Refresh), seal(columnExtra, string(t.Raw))
	return nil
}

// open returns the tokens of r.
func (k *Keeper) open(r *Row) (*oauth.Token, error) {
	ring, err := k.opt.Ring()
	if err != nil {
		return nil, err
	}
	t := &oauth.Token{Scopes: r.Granted}
	open := func(column string, sealed []byte) (plain string) {
		if err != nil || len(sealed) == 0 {
			return ""
		}
		var text []byte
		if text, err = ring.Open(sealed, bound(r, column)...); err != nil {
			err = fmt.Errorf("open the %s token of %s: %w", column, r.Key, err)
		}
		return string(text)
	}
	t.Access, t.Refresh, t.Raw = open(columnAccess, r.Access), open(columnRefresh, r.Refresh), []byte(open(columnExtra, r.Extra))
	if err != nil {
		return nil, err
	}
	k.opt.Guard(t.Access, t.Refresh)
	return t, nil
}

// tokenOf is what calls are given of t.
func tokenOf(r *Row, t *oauth.Token) *Token {
	out := &Token{Value: t.Access, Account: r.Account, Generation: r.Generation, BaseURL: r.BaseURL}
	var answer map[string]any
	if r.BaseURL == "" || json.Unmarshal(t.Raw, &answer) != nil {
		return out
	}
	for name, value := range answer {
		if text, ok := value.(string); ok && strings.TrimSuffix(text, "/") == r.BaseURL {
			if out.Places == nil {
				out.Places = map[string]string{}
			}
			out.Places[name] = text
		}
	}
	return out
}

// reseal binds r to hosts under the newest key.
func (k *Keeper) reseal(r *Row, hosts []string) error {
	t, err := k.open(r)
	if err != nil {
		return err
	}
	r.Hosts = hosts
	return k.sealToken(r, t)
}

// current reports whether all that is sealed in r is under the newest key.
func (k *Keeper) current(r *Row) (bool, error) {
	ring, err := k.opt.Ring()
	if err != nil {
		return false, err
	}
	for _, sealed := range [][]byte{r.Access, r.Refresh, r.Extra} {
		if len(sealed) > 0 && !ring.Current(sealed) {
			return false, nil
		}
	}
	return true, nil
}

// within reports whether all hosts are among those that a row is sealed for. A
// policy may name fewer.
func within(hosts, sealed []string) bool {
	return slices.Equal(hosts, sealed) || !slices.ContainsFunc(hosts, func(h string) bool { return !slices.Contains(sealed, h) })
}

// String names a connection for people.
func (k Key) String() string {
	if k.Account == "" {
		return k.Provider
	}
	return k.Provider + "/" + k.Account
}
