package awssigv4

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

// Role is how temporary keys are had: a role is assumed by whom a web identity
// names, such as a service account of Kubernetes
// (docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html).
// They are kept and renewed as tokens are.
type Role struct {
	RoleARN          string       `hcl:"role_arn,optional"`
	WebIdentityToken block.Secret `hcl:"web_identity_token,optional"`
	SessionName      string       `hcl:"role_session_name,optional"`
	STSURL           string       `hcl:"sts_url,optional"` // "" is that of the region, or the global one

	hosts    []policy.Host
	provider string
	live     *credential.Live
	endpoint string
}

// Default names sessions after this program.
func (r *Role) Default() { r.SessionName = "postern" }

// SetHosts tells which hosts the provider has: its keys are sealed for them.
func (r *Role) SetHosts(hosts []policy.Host) { r.hosts = hosts }

func (r *Role) assumed() bool { return r.RoleARN != "" || !r.WebIdentityToken.IsZero() }

func (r *Role) wrong() (errs []error) {
	if !r.assumed() {
		return nil
	}
	if !strings.HasPrefix(r.RoleARN, "arn:") {
		errs = append(errs, block.At("role_arn", "%q is not the ARN of a role, such as \"arn:aws:iam::123456789012:role/name\"", r.RoleARN))
	}
	if r.WebIdentityToken.IsZero() {
		errs = append(errs, block.At("web_identity_token", "web_identity_token is needed: who assumes the role, such as file(\"/var/run/secrets/eks.amazonaws.com/serviceaccount/token\")"))
	}
	if u, err := url.Parse(r.STSURL); err != nil || r.STSURL != "" && (u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !credential.Loopback(u.Hostname()))) {
		errs = append(errs, block.At("sts_url", "%q is not an https URL", r.STSURL))
	}
	return errs
}

// source is where the keys come from.
func (r *Role) source(s policy.Scope, live *credential.Live, region string) *connection.Source {
	r.provider, r.live, r.endpoint = s.Provider, live, r.STSURL
	switch {
	case r.endpoint != "":
	case region != "":
		r.endpoint = "https://sts." + region + ".amazonaws.com/"
	default:
		r.endpoint = "https://sts.amazonaws.com/"
	}
	src := &connection.Source{Provider: s.Provider, Credential: kind, Mint: r.mint}
	if s.Route != "" {
		src.Credential += " " + s.Route
	}
	for _, h := range r.hosts {
		src.Hosts = append(src.Hosts, string(h))
	}
	slices.Sort(src.Hosts)
	return src
}

// mint assumes the role. A web identity that is refused is read anew, once.
func (r *Role) mint(ctx context.Context, _, _ string) (*oauth.Token, error) {
	identity, err := r.WebIdentityToken.Reveal()
	if err != nil {
		return nil, err
	}
	t, err := r.assume(ctx, identity)
	var refused *oauth.Error
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest && r.WebIdentityToken.Renew(ctx, identity) {
		if identity, err = r.WebIdentityToken.Reveal(); err != nil {
			return nil, err
		}
		return r.assume(ctx, identity)
	}
	return t, err
}

// maxAnswer is how long an answer of STS may be.
const maxAnswer = 64 << 10

// assume asks STS once.
func (r *Role) assume(ctx context.Context, identity string) (*oauth.Token, error) {
	if r.live.Do == nil {
		return nil, errors.New("there is no network here")
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {r.RoleARN}, "RoleSessionName": {r.SessionName}, "WebIdentityToken": {identity},
	}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint, strings.NewReader(form))
	if err != nil {
		return nil, fmt.Errorf("assume the role: %w", err)
	}
	req.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	sent := time.Now()
	resp, executed, err := r.live.Do(credential.Way{Provider: r.provider, Named: r.STSURL != ""}, req)
	if err != nil {
		return nil, &oauth.Error{Executed: executed, Err: fmt.Errorf("assume the role: %w", err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &oauth.Error{Status: resp.StatusCode, Executed: true, Err: fmt.Errorf("read the answer of STS: %w", err)}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.StatusCode, body, identity)
	}
	return token(resp.Header, body, sent)
}

// refusal reads why STS gives no keys. It may repeat the identity.
func refusal(status int, body []byte, identity string) error {
	var said struct {
		Error struct{ Code, Message string }
	}
	e := &oauth.Error{Status: status, Executed: true}
	if xml.Unmarshal(body, &said) == nil {
		e.Code = said.Error.Code
		e.Description = strings.ReplaceAll(said.Error.Message, identity, "***")
	}
	return e
}

// token reads the keys. They expire so long after the answer as STS says by its own
// clock.
func token(h http.Header, body []byte, sent time.Time) (*oauth.Token, error) {
	var said struct {
		Result struct {
			Credentials struct{ AccessKeyId, SecretAccessKey, SessionToken, Expiration string }
		} `xml:"AssumeRoleWithWebIdentityResult"`
	}
	if err := xml.Unmarshal(body, &said); err != nil {
		return nil, &oauth.Error{Status: http.StatusOK, Executed: true, Err: errors.New("the answer of STS is not XML")}
	}
	c := said.Result.Credentials
	at, err := time.Parse(time.RFC3339, c.Expiration)
	if err != nil || c.AccessKeyId == "" || c.SecretAccessKey == "" || c.SessionToken == "" || strings.ContainsAny(c.AccessKeyId+c.SecretAccessKey+c.SessionToken, " \r\n\t\x00") {
		return nil, &oauth.Error{Status: http.StatusOK, Executed: true, Err: errors.New("the answer of STS has no usable keys")}
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		at = sent.Add(at.Sub(date))
	}
	return &oauth.Token{Access: c.AccessKeyId + " " + c.SecretAccessKey + " " + c.SessionToken, Expiry: at}, nil
}

// unpack reads what token made.
func unpack(value string) aws.Credentials {
	id, rest, _ := strings.Cut(value, " ")
	secret, session, _ := strings.Cut(rest, " ")
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: session}
}

func parts(value string) []string {
	c := unpack(value)
	return []string{c.SecretAccessKey, c.SessionToken}
}
