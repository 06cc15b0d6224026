package admin

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/postern-proxy/postern/connection"
)

// NewConnectSession asks for a link by which a customer connects an account.
type NewConnectSession struct {
	Provider   string `json:"provider"`
	Account    string `json:"account,omitempty"`    // none where the provider has only one
	Credential string `json:"credential,omitempty"` // none is the provider's own
	ReturnTo   string `json:"return_to,omitempty"`  // a path of connect.public_url, or a URL of an origin in connect.return_to
}

// ConnectSession is a link that works once.
type ConnectSession struct {
	URL             string    `json:"url"` // for the customer's browser, and nobody else
	Expires         time.Time `json:"expires_at"`
	Provider        string    `json:"provider"`
	Account         string    `json:"account"`
	Credential      string    `json:"credential"`
	Scopes          []string  `json:"scopes"` // that the provider is asked for
	ReturnTo        string    `json:"return_to,omitempty"`
	ReturnToIgnored string    `json:"return_to_ignored,omitempty"` // why return_to of the request was
}

// ConnectionPage is one page of connections.
type ConnectionPage struct {
	Connections []Connection `json:"connections"`
	Next        string       `json:"next,omitempty"` // the cursor of the next page, "" on the last
}

// Connection is what lets Postern act for one account at one provider. Its
// tokens are never shown.
type Connection struct {
	Provider       string           `json:"provider"`
	Account        string           `json:"account"`    // "" where the provider has only one
	Credential     string           `json:"credential"` // kind, and the route if that has one of its own
	State          string           `json:"state"`
	Health         string           `json:"health"`
	Generation     int64            `json:"generation"` // grows with every token
	Needs          []string         `json:"needs"`      // scopes that the policy asks for
	Granted        []string         `json:"granted"`
	Missing        []string         `json:"missing"`
	Extra          []string         `json:"extra"` // more than the least privilege
	Hosts          []string         `json:"hosts"` // to which the tokens may go
	BaseURL        string           `json:"base_url,omitempty"`
	Renewable      bool             `json:"renewable"` // there is something to renew the token with
	Obtained       time.Time        `json:"obtained_at,omitzero"`
	Expires        time.Time        `json:"expires_at,omitzero"` // the access token; none is unknown
	RefreshExpires time.Time        `json:"refresh_expires_at,omitzero"`
	Failures       int              `json:"failures"` // renewals, or revocations, in a row that failed
	Failure        string           `json:"failure,omitempty"`
	RevokeDue      time.Time        `json:"revoke_due,omitzero"` // when the provider is told that it is revoked
	Created        time.Time        `json:"created_at"`
	Changed        time.Time        `json:"changed_at"`
	History        []ConnectionMove `json:"history,omitempty"` // the newest first
}

// ConnectionMove is one line of a connection's history.
type ConnectionMove struct {
	At         time.Time `json:"at"`
	From       string    `json:"from,omitempty"`
	To         string    `json:"to"`
	Generation int64     `json:"generation"`
	Reason     string    `json:"reason,omitempty"`
	By         string    `json:"by,omitempty"`
	Replica    string    `json:"replica,omitempty"`
}

// Export asks for connections, their tokens sealed under a key that
// `postern secrets keygen` makes.
type Export struct {
	Key      string `json:"key"`
	Provider string `json:"provider,omitempty"`
	Limit    int    `json:"limit,omitempty"`
	Cursor   string `json:"cursor,omitempty"`
}

// Exported is one page of them.
type Exported struct {
	Connections []Parcel `json:"connections"`
	Next        string   `json:"next,omitempty"`
}

// Parcel is a connection on its way, sealed. Provider, account and credential
// are bound to it.
type Parcel struct {
	Format     string    `json:"format"`
	Provider   string    `json:"provider"`
	Account    string    `json:"account"`
	Credential string    `json:"credential"`
	State      string    `json:"state,omitempty"`
	Expires    time.Time `json:"expires_at,omitzero"`
	Sealed     string    `json:"sealed"` // Base64
}

// Import brings connections in. Key opens those that are sealed.
type Import struct {
	Key         string     `json:"key,omitempty"`
	Overwrite   bool       `json:"overwrite,omitempty"` // those that there are
	Connections []Incoming `json:"connections"`
}

// Incoming is one of them: sealed, or with its tokens.
type Incoming struct {
	Provider       string          `json:"provider"`             // here
	SealedFor      string          `json:"sealed_for,omitempty"` // its provider where it was exported, if that is called otherwise
	Account        string          `json:"account"`
	Credential     string          `json:"credential,omitempty"` // none is the provider's own
	Sealed         string          `json:"sealed,omitempty"`     // Base64
	Access         string          `json:"access_token,omitempty"`
	Refresh        string          `json:"refresh_token,omitempty"`
	Expires        time.Time       `json:"expires_at,omitzero"`
	RefreshExpires time.Time       `json:"refresh_expires_at,omitzero"`
	Scopes         []string        `json:"scopes,omitempty"`
	Answer         json.RawMessage `json:"answer,omitempty"` // of the provider, from which the token was read
}

// Imported is what came of it.
type Imported struct {
	Imported int       `json:"imported"`
	Refused  []Refused `json:"refused"`
}

// Refused is a connection that was not imported.
type Refused struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	Reason   string `json:"reason"`
	Hint     string `json:"hint,omitempty"`
}

// Reseal asks for what is sealed to be brought under the newest key.
type Reseal struct {
	Provider string `json:"provider,omitempty"`
	Hosts    bool   `json:"hosts,omitempty"` // bind it to the hosts that the policy names now
	Cursor   string `json:"cursor,omitempty"`
}

// Resealed is what came of it.
type Resealed struct {
	Changed int    `json:"changed"`
	Next    string `json:"next,omitempty"` // the cursor to go on with, "" when done
}

// grant words what the keeper knows of a connection.
func grant(v *connection.View, history []connection.Move) Connection {
	out := Connection{
		Provider: v.Provider, Account: v.Account, Credential: v.Credential, State: string(v.State), Health: string(v.Health), Generation: v.Generation,
		Needs: list(v.Needs), Granted: list(v.Granted), Missing: list(v.Missing), Extra: list(v.Surplus), Hosts: list(v.Hosts), BaseURL: v.BaseURL,
		Renewable: v.Renewable, Obtained: v.Obtained, Expires: v.Expiry, RefreshExpires: v.RefreshExpiry, Failures: v.Failures, Failure: v.Failure,
		RevokeDue: v.RevokeDue, Created: v.Created, Changed: v.Changed,
	}
	for _, m := range history {
		out.History = append(out.History, ConnectionMove{At: m.At, From: string(m.From), To: string(m.To), Generation: m.Generation, Reason: m.Reason, By: m.By, Replica: m.Replica})
	}
	return out
}

// list is never null in JSON.
func list(of []string) []string { return append([]string{}, of...) }

// parcel words a sealed connection.
func parcel(p *connection.Parcel) Parcel {
	return Parcel{
		Format: connection.ParcelFormat, Provider: p.Provider, Account: p.Account, Credential: p.Credential, State: string(p.State), Expires: p.Expiry,
		Sealed: base64.StdEncoding.EncodeToString(p.Sealed),
	}
}

// carried is the grant that c brings.
func (c *Incoming) carried(key string) (*connection.Carried, error) {
	if c.Sealed == "" {
		return &connection.Carried{Access: c.Access, Refresh: c.Refresh, Expiry: c.Expires, RefreshExpiry: c.RefreshExpires, Scopes: c.Scopes, Answer: c.Answer}, nil
	}
	sealed, err := base64.StdEncoding.DecodeString(c.Sealed)
	if err != nil {
		return nil, &connection.RequestError{Why: "what is sealed is not Base64", Hint: "Export it again; a line may be broken."}
	}
	p := connection.Parcel{Key: connection.Key{Provider: c.Provider, Account: c.Account, Credential: c.Credential}, Sealed: sealed}
	if c.SealedFor != "" {
		p.Provider = c.SealedFor
	}
	return connection.Unpack(key, &p)
}
