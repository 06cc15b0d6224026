package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bearerBlock is the credential of the full policy: a token that stands there.
const bearerBlock = `"bearer" {
    token = env("BENCH_TOKEN")
  }`

// grantedBlock asks the upstream's control address for its token.
const grantedBlock = `"oauth2_client_credentials" {
    token_url     = "http://%s/token"
    client_id     = "oauth2_client_credentials"
    client_secret = env("BENCH_SECRET")
  }`

// hmacBlock signs what most providers have signed: method, target, time and the body's hash.
const hmacBlock = `"hmac" {
    secret  = env("BENCH_SECRET")
    message = "${request.method}\n${request.target}\n${timestamp}\n${part.body}"
    header = {
      ` + stampName + `     = "${timestamp}"
      ` + signatureName + ` = "${signature}"
    }

    part "body" {
      message   = request.raw_body
      algorithm = "sha256"
    }
  }`

const awsBlock = `"aws_sigv4" {
    access_key_id     = "` + awsKeyID + `"
    secret_access_key = env("BENCH_SECRET")
    region            = "` + awsRegion + `"
    service           = "` + awsService + `"
  }`

// accountBlock has the token of the one account that is connected.
const accountBlock = `"oauth2" {
    authorize_url = "http://%[1]s/authorize"
    token_url     = "http://%[1]s/token"
    client_id     = "oauth2"
    client_secret = env("BENCH_SECRET")
  }`

// signatureBlock signs what RFC 9421 recommends at the least, with the body's digest.
const signatureBlock = `"http_signature" {
    key    = env("BENCH_KEY")
    key_id = "bench"
    alg    = "ed25519"
  }`

// startCredentials gives a process with the full policy for each kind of credential, all else being the same.
func startCredentials(ctx context.Context, set settings, f *field, upstream string) ([]*peer, error) {
	if !slices.ContainsFunc(scenarios(), func(s scenario) bool { return s.side == "credential" && set.Only.MatchString(s.name) }) {
		return nil, nil
	}
	var all []*peer
	for _, kind := range []struct {
		name, about, block string
		tokens             int                                          // that it asks for
		connect            func(context.Context, settings, place) error // an account
	}{
		{name: "bearer", about: "full policy, the token in the environment", block: bearerBlock},
		{name: "bearer-again", about: "the same in another process: as far from 1 as it is, so far are ratios in doubt", block: bearerBlock},
		{name: "oauth2_client_credentials", about: "full policy, the token asked for once and cached", block: fmt.Sprintf(grantedBlock, f.control), tokens: 1},
		{name: "oauth2", about: "full policy, the cached token of an account", block: fmt.Sprintf(accountBlock, f.control), connect: connectAccount},
		{name: "hmac", about: "full policy, HMAC-SHA256 of method, path, time and the body's hash, each call anew", block: hmacBlock},
		{name: "aws_sigv4", about: "full policy, AWS Signature Version 4 with the body's hash, each call anew", block: awsBlock},
		{name: "http_signature", about: "full policy, an HTTP message signature with Ed25519 and the body's digest, each call anew", block: signatureBlock},
	} {
		if leftOut(set, kind.name) {
			continue
		}
		p := &peer{name: kind.name, about: kind.about, side: "credential", policed: true, tokens: kind.tokens}
		all = append(all, p)
		if set.Postern == "" {
			p.missing = noBinary
			continue
		}
		at, c, err := startProcess(ctx, set, f, kind.name, upstream, kind.block)
		if err != nil {
			return all, err
		}
		p.serves(at, c)
		if p.door, err = at.door(); err != nil {
			return all, err
		}
		if kind.connect != nil {
			if err := kind.connect(ctx, set, at); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

// connectAccount brings in a grant, as Nango's API writes it (docs.nango.dev/reference/api/connection/get): that needs no
// browser.
func connectAccount(ctx context.Context, set settings, at place) error {
	binary, err := filepath.Abs(set.Postern)
	if err != nil {
		return err
	}
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	cmd := exec.CommandContext(ctx, binary, "connections", "import", "--admin", "http://"+at.admin)
	cmd.Env = []string{"HOME=" + at.dir} // and nothing of ours, such as another admin listener
	cmd.Stdin = strings.NewReader(`{"connection_id":"acme","provider_config_key":"bench","credentials":{"type":"OAUTH2","access_token":"` + granted +
		`","refresh_token":"refresh-0123456789abcdef","expires_at":"` + expires + `","raw":{}}}`)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("connecting an account: %w: %s", err, out)
	}
	return nil
}
