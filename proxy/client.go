package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// A Client is somebody who may use the proxy. With none declared, everybody
// on this machine may.
type Client struct {
	Name      string       `hcl:"name,label"`
	Token     block.Secret `hcl:"token"`
	Providers []string     `hcl:"providers,optional"` // none written: all of them
	Range     hcl.Range    `hcl:",def_range"`
}

// A claim is who somebody says to be.
type claim struct {
	name  string // "" if only a token was given
	token string
}

// verify returns the client that a claim is true for, or nil. It takes the
// same time for every name and token, known or not (C30).
func (s *state) verify(is claim) *Client {
	name, token := sha256.Sum256([]byte(is.name)), sha256.Sum256([]byte(is.token))
	anyName := subtle.ConstantTimeEq(int32(len(is.name)), 0)
	found := -1
	for i := range s.clients {
		secret, err := s.clients[i].Token.Reveal()
		ok := 1
		if err != nil || secret == "" {
			ok = 0 // fails closed, at no other cost
		}
		theirs, its := sha256.Sum256([]byte(s.clients[i].Name)), sha256.Sum256([]byte(secret))
		ok &= subtle.ConstantTimeCompare(token[:], its[:])
		ok &= anyName | subtle.ConstantTimeCompare(name[:], theirs[:])
		found = subtle.ConstantTimeSelect(ok, i, found)
	}
	if found < 0 {
		return nil
	}
	return &s.clients[found]
}

// proxyCredentials reads "Basic name:token" or "Basic name+account:token". Ruby
// reads the plus in the user info of a URL as a space.
func proxyCredentials(header string) (is claim, account string, ok bool) {
	user, token, ok := basic(header)
	name, account, _ := strings.Cut(strings.ReplaceAll(user, " ", "+"), "+")
	return claim{name, token}, account, ok && name != ""
}

// basic reads HTTP Basic credentials (RFC 7617).
func basic(header string) (user, password string, ok bool) {
	scheme, value, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "basic") {
		return "", "", false
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(plain), ":")
}

// identify finds out who calls, whether it may use the provider, and for
// which account. On a base URL the client's token may stand in a slot of the
// plan, where it is removed.
func (c *call) identify(plan *policy.Plan) error {
	account := c.entry.account
	if len(c.state.clients) > 0 {
		client, named, err := c.authenticate(plan)
		if err != nil {
			return err
		}
		c.x.Client = client.Name
		if p := c.target.provider; p != nil && len(client.Providers) > 0 && !slices.Contains(client.Providers, p.Name) {
			return &policy.Denial{Code: policy.ClientRefused, Stage: stage, Detail: "this client may not use this provider", Hint: "add the provider to the client block"}
		}
		if named != "" {
			account = named
		}
		if c.target.base {
			c.dropToken(client)
		}
	} else if c.head.proxyAuth != "" {
		// Nobody is asked for credentials, but they can name an account.
		if _, named, ok := proxyCredentials(c.head.proxyAuth); ok && named != "" {
			account = named
		}
	}
	for _, a := range []string{c.target.account, c.head.account} {
		if a != "" {
			account = a
		}
	}
	if account != "" && !validAccount(account) {
		return badRequest("the proxy credentials do not name an account", "")
	}
	c.x.Account = account
	return nil
}

// authenticate returns the client that calls, and the account that its proxy
// credentials name.
func (c *call) authenticate(plan *policy.Plan) (*Client, string, error) {
	if c.entry.way == viaTunnel {
		// Proved when the tunnel was opened; a reload may have removed it since.
		for i := range c.state.clients {
			if c.state.clients[i].Name == c.entry.client {
				return &c.state.clients[i], "", nil
			}
		}
		return nil, "", clientRefused()
	}
	if c.head.proxyAuth != "" {
		if is, account, ok := proxyCredentials(c.head.proxyAuth); ok {
			if client := c.state.verify(is); client != nil {
				return client, account, nil
			}
			// axios 1.x sends the user info of the proxy's URL as it is
			// written there, percent-encoded.
			if token, err := url.PathUnescape(is.token); err == nil && token != is.token {
				if client := c.state.verify(claim{is.name, token}); client != nil {
					return client, account, nil
				}
			}
		}
		return nil, "", clientRefused()
	}
	if !c.target.base {
		return nil, "", clientRequired("proxy credentials are missing", "set the proxy's URL to http://NAME:TOKEN@HOST:PORT")
	}
	given := false
	if plan != nil {
		for _, slot := range plan.Slots {
			for _, token := range slotTokens(c, slot) {
				given = true
				if client := c.state.verify(claim{token: token}); client != nil {
					c.x.Token = token
					c.clearSlot(slot)
					return client, "", nil
				}
			}
		}
	} else {
		given = len(c.r.Header["Authorization"]) > 0
		c.state.verify(claim{})
	}
	if given {
		return nil, "", clientRefused()
	}
	return nil, "", clientRequired("a client's token is missing", "give the client's token where the provider's API key would stand")
}

func clientRefused() error {
	return &policy.Denial{Code: policy.ClientRefused, Stage: stage, Detail: "the client's credentials are not valid", Hint: "check the name and token of the client block"}
}

func clientRequired(detail, hint string) error {
	return &policy.Denial{Code: policy.ClientRequired, Stage: stage, Detail: detail, Hint: hint}
}

// slotTokens lists what may be a client's token in a slot: the value itself,
// what follows a scheme such as Bearer, either half of Basic credentials.
func slotTokens(c *call, slot policy.Slot) []string {
	switch slot.In {
	case policy.InQuery:
		if v := queryValue(c.r.URL.RawQuery, slot.Name); v != "" {
			return []string{v}
		}
	case policy.InHeader:
		if v := c.r.Header.Get(slot.Name); v != "" {
			return tokensIn(v)
		}
	}
	return nil
}

// tokensIn lists what may be a client's token in the value of a header.
func tokensIn(v string) []string {
	if user, password, ok := basic(v); ok {
		return slices.DeleteFunc([]string{user, password}, func(s string) bool { return s == "" })
	}
	if _, token, ok := strings.Cut(v, " "); ok {
		return []string{strings.TrimSpace(token)}
	}
	return []string{v}
}

// clearSlot empties the slot that a client's token stood in.
func (c *call) clearSlot(slot policy.Slot) {
	if slot.In == policy.InHeader {
		c.r.Header.Del(slot.Name)
		return
	}
	c.dropPairs(func(key, _ string) bool { return key == slot.Name })
}

// dropToken removes the client's token from wherever else it stands: some SDKs
// send their key in several places, and it must not leave.
func (c *call) dropToken(client *Client) {
	token, err := client.Token.Reveal()
	if err != nil {
		return // then nothing of the call was true
	}
	for name, values := range c.r.Header {
		if slices.ContainsFunc(values, func(v string) bool { return slices.Contains(tokensIn(v), token) }) {
			delete(c.r.Header, name)
		}
	}
	if c.r.URL.RawQuery != "" {
		c.dropPairs(func(_, value string) bool { return value == token })
	}
}

// dropPairs removes pairs of the query; the others stay byte for byte.
func (c *call) dropPairs(drop func(key, value string) bool) {
	var keep []string
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		if key, value := splitPair(pair); !drop(key, value) {
			keep = append(keep, pair)
		}
	}
	c.r.URL.RawQuery = strings.Join(keep, "&")
}

func queryValue(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if key, value := splitPair(pair); key == name {
			return value
		}
	}
	return ""
}

// splitPair decodes one pair of a query; what is not well escaped is no key.
func splitPair(pair string) (key, value string) {
	k, v, _ := strings.Cut(pair, "=")
	key, err := url.QueryUnescape(k)
	value, err2 := url.QueryUnescape(v)
	if err != nil || err2 != nil {
		return "", ""
	}
	return key, value
}
