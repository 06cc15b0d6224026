// Package githubapp is credential "github_app": the token of an installation of a
// GitHub App
// (docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app).
package githubapp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

const (
	kind = "github_app"
	life = 9 * time.Minute // of the App's own JWT: GitHub takes no more than ten
	past = time.Minute     // that it is dated back, for clocks that are behind
)

// Feature returns the feature.
func Feature(live *credential.Live) policy.Feature {
	return policy.Feature{Name: "credential", Kind: kind, New: func() policy.Block { return &Block{live: live} }}
}

// Block is a credential "github_app" block. Calls to /app and below are made as
// the App itself, all others as its installation.
type Block struct {
	AppID          block.Secret      `hcl:"app_id" literal:"allowed"`
	InstallationID *block.Expr       `hcl:"installation_id" scope:"account"`
	PrivateKey     []block.Secret    `hcl:"private_key"`           // newest first
	Repositories   []string          `hcl:"repositories,optional"` // names, without the owner; none written: all of the installation
	Permissions    map[string]string `hcl:"permissions,optional"`  // none written: all of the App
	APIURL         string            `hcl:"api_url,optional"`

	root   string // the path of APIURL
	live   *credential.Live
	server credential.Server
	jwt    *jwts
}

// jwts keeps the App's own JWT while it is good: to sign takes a millisecond.
type jwts struct {
	mu    sync.Mutex
	of    string // the key
	text  string
	until time.Time
}

// Default is github.com.
func (b *Block) Default() {
	b.APIURL = "https://api.github.com"
	b.server.Defaults()
	b.jwt = new(jwts)
}

// SetHosts tells which hosts the provider has.
func (b *Block) SetHosts(hosts []policy.Host) { b.server.SetHosts(hosts) }

// SetUpstream tells what is called instead of them.
func (b *Block) SetUpstream(u *url.URL) { b.server.SetUpstream(u) }

// Check refuses an API that is not one.
func (b *Block) Check() error {
	if b.InstallationID == nil {
		return block.At("installation_id", "installation_id is missing: its number, or account")
	}
	u, err := url.Parse(b.APIURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && credential.Loopback(u.Hostname())) || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return block.At("api_url", "%q is not a URL such as \"https://github.example.com/api/v3\"", b.APIURL)
	}
	b.APIURL, b.root = strings.TrimSuffix(b.APIURL, "/"), strings.TrimSuffix(u.Path, "/")
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	api, err := block.ParseExpr(strconv.Quote(b.APIURL), "account")
	if err != nil {
		return policy.Stage{}, block.At("api_url", "%v", err)
	}
	src := b.server.Source(b.live, s, kind, b.mint, api)
	return b.live.Granted(credential.Granted{
		Name: kind, Summary: "token of the App's installation in Authorization, from " + b.APIURL, Server: &b.server, Source: src,
		PerAccount: b.InstallationID.Reads("account"), Stub: b.asks, Own: b.own,
	}), nil
}

// installation is the path under which tokens of an account's installation are
// asked for.
func (b *Block) installation(account string) (string, error) {
	id, ok := b.InstallationID.String(credential.Account(account))
	if !ok || id == "" || strings.Trim(id, "0123456789") != "" {
		return "", fmt.Errorf("installation_id is not the number of an installation for account %q", account)
	}
	return "/app/installations/" + id + "/access_tokens", nil
}

// mint asks with each key in turn.
func (b *Block) mint(ctx context.Context, account, _ string) (t *oauth.Token, err error) {
	path, err := b.installation(account)
	if err != nil {
		return nil, err
	}
	server := &oauth.Server{TokenURL: b.APIURL + path, TokenName: "token", Header: map[string]string{"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "postern"}}
	for i, key := range b.PrivateKey {
		c, err := b.client(key)
		if err != nil {
			return nil, err
		}
		t, err = server.AppToken(ctx, b.server.Do, c, b.narrowed())
		var o *oauth.Error
		if i+1 == len(b.PrivateKey) || !errors.As(err, &o) || o.Status != http.StatusUnauthorized {
			return t, err
		}
	}
	return nil, errors.New("there is no private key")
}

func (b *Block) client(key block.Secret) (c *oauth.Client, err error) {
	c = &oauth.Client{Skew: time.Until(b.server.Now())}
	if c.ID, err = b.AppID.Reveal(); err != nil {
		return nil, err
	}
	c.Key, err = b.live.Signer(key)
	return c, err
}

// narrowed is what the token is to be good for.
func (b *Block) narrowed() any {
	body := map[string]any{}
	if len(b.Repositories) > 0 {
		body["repositories"] = b.Repositories
	}
	if len(b.Permissions) > 0 {
		body["permissions"] = b.Permissions
	}
	return body
}

// asks reports whether an SDK asks for a token of the installation by itself.
func (b *Block) asks(r *http.Request, account string) (string, bool) {
	if !strings.HasSuffix(r.URL.Path, "/access_tokens") {
		return "", false
	}
	path, err := b.installation(account)
	return "token", err == nil && strings.HasSuffix(r.URL.Path, path)
}

// own is the App's JWT, for the calls that an App makes as itself.
func (b *Block) own(r *http.Request) (string, bool, error) {
	if path := strings.TrimPrefix(r.URL.Path, b.root); path != "/app" && !strings.HasPrefix(path, "/app/") {
		return "", false, nil
	} else if strings.HasSuffix(path, "/access_tokens") { // that of the account is answered here
		return "", true, &policy.Denial{
			Code: policy.NotAllowed, Stage: "credential", Detail: "the call asks for a token of another installation than the account's",
			Hint: "Postern puts in the token of the account's installation by itself.",
		}
	}
	c, err := b.client(b.PrivateKey[0])
	if err != nil {
		return "", true, err
	}
	of, _ := b.PrivateKey[0].Reveal() // was revealed above
	b.jwt.mu.Lock()
	defer b.jwt.mu.Unlock()
	now := b.server.Now()
	if b.jwt.of == of && now.Before(b.jwt.until) {
		return b.jwt.text, true, nil
	}
	text, err := oauth.SignJWT(c.Key, "RS256", "", oauth.Claims{Issuer: c.ID, IssuedAt: now.Add(-past), Expiry: now.Add(life)})
	if err != nil {
		return "", true, err
	}
	b.jwt.of, b.jwt.text, b.jwt.until = of, text, now.Add(life/2)
	return text, true, nil
}
