package awssigv4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/outcome"
	"github.com/postern-proxy/postern/policy/retry"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

// quiet is told what a keeper does.
type quiet struct{}

func (quiet) Renewed(string, string)                {}
func (quiet) Expires(connection.Key, time.Time)     {}
func (quiet) Moved(connection.Key, connection.Move) {}
func (quiet) Alarm(connection.Key, string)          {}
func (quiet) Trouble(string, error)                 {}

// cloud is AWS: STS, and a service that takes what STS gave.
type cloud struct {
	t       *testing.T
	asked   []url.Values // at STS
	to      []string
	status  int // of STS
	body    string
	ahead   time.Duration // its clock
	life    time.Duration
	sent    []*http.Request // to the service
	refuse  string          // an access key id that the service does not take
	guarded []string
	set     *policy.Set
	keeper  *connection.Keeper
}

// keys are the n-th that STS gives.
func keys(n int, till time.Time) string {
	return fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
		<SubjectFromWebIdentityToken>system:serviceaccount:a:b</SubjectFromWebIdentityToken>
		<Credentials><SessionToken>session-token-%d/+==</SessionToken><SecretAccessKey>secret-access-key-%d</SecretAccessKey><Expiration>%s</Expiration><AccessKeyId>ASIA%d</AccessKeyId></Credentials>
		</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`, n, n, till.UTC().Format(time.RFC3339), n)
}

func (c *cloud) ask(w credential.Way, r *http.Request) (*http.Response, bool, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, false, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || w.Provider != "p" {
		c.t.Errorf("%s %v %v %v", r.Method, r.Header, w, err)
	}
	c.asked, c.to = append(c.asked, form), append(c.to, r.URL.String())
	there := time.Now().Add(c.ahead)
	body := c.body
	if body == "" {
		body = keys(len(c.asked), there.Add(c.life))
	}
	if c.status == 0 {
		return nil, true, errors.New("connection reset")
	}
	return &http.Response{StatusCode: c.status, Header: http.Header{"Date": {there.UTC().Format(http.TimeFormat)}}, Body: io.NopCloser(strings.NewReader(body))}, true, nil
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	c.sent = append(c.sent, r)
	status := 200
	if c.refuse != "" && strings.Contains(r.Header.Get("Authorization"), c.refuse+"/") {
		status = 403
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("you sent " + r.Header.Get(amzToken)))}, nil
}

// open makes a policy with a role.
func open(t *testing.T, src string, secrets *block.Secrets) *cloud {
	t.Helper()
	c := &cloud{t: t, status: 200, life: time.Hour}
	key, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		t.Fatal(err)
	}
	live := credential.NewLive()
	c.keeper = connection.NewKeeper(connection.Options{
		Store: store.NewMemory().Connections(), Ring: func() (*seal.Ring, error) { return ring, nil }, Holder: "test",
		Observer: quiet{}, Guard: func(...string) {}, Random: func() float64 { return 0.5 },
	})
	live.Keeper, live.Do, live.Guard = c.keeper, c.ask, func(v ...string) { c.guarded = append(c.guarded, v...) }
	f, diags := hclsyntax.ParseConfig([]byte("hosts = [\"p.example\"]\noutcome \"auth\" { when = response.status == 403 }\ncredential \"aws_sigv4\" {\nregion = \"eu-west-1\"\nservice = \"sqs\"\n"+src+"\n}\n"), "p.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	features := []policy.Feature{retry.Feature(func() float64 { return 1 }), Feature(live), outcome.Fault(), outcome.Feature()}
	ctx := block.NewContext("test", secrets)
	if c.set, diags = policy.Compile([]policy.Written{{Name: "p", Layers: []*hclsyntax.Body{f.Body.(*hclsyntax.Body)}}}, features, ctx, c); diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, st := range c.set.Provider("p").Plans()[0].Stages {
		if s, ok := st.Holds.(*connection.Source); ok {
			c.keeper.Swap([]*connection.Source{s})
		}
	}
	return c
}

// close waits for what is done in the background.
func (c *cloud) close() {
	if err := c.keeper.Close(context.Background()); err != nil {
		c.t.Error(err)
	}
}

// call makes one, and returns the access key id that it bore.
func (c *cloud) call() (id, body string, err error) {
	x := &policy.Exchange{Start: time.Now(), Plan: c.set.Provider("p").Plans()[0], Body: policy.NewBody(nil, 0, 0)}
	u := &url.URL{Scheme: "https", Host: "p.example", Path: "/"}
	r := (&http.Request{Method: "GET", URL: u, Host: u.Host, Header: http.Header{}}).WithContext(policy.With(context.Background(), x))
	resp, err := x.Plan.RoundTrip(r)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	_, rest, _ := strings.Cut(c.sent[len(c.sent)-1].Header.Get("Authorization"), "Credential=")
	id, _, _ = strings.Cut(rest, "/")
	return id, string(text), err
}

const role = "role_arn = \"arn:aws:iam::123456789012:role/reader\"\nweb_identity_token = env(\"IDENTITY\")"

func identity() *block.Secrets { return block.NewSecrets([]string{"IDENTITY=the-web-identity"}) }

// TestRole: the role is assumed once, and its keys are used; they are renewed early
// and behind the calls; while STS fails they are used to their end, and then nothing
// leaves.
func TestRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, role, identity())
		defer c.close()
		want := func(at string, id string, asked int) {
			t.Helper()
			got, _, err := c.call()
			synctest.Wait()
			if err != nil || got != id || len(c.asked) != asked {
				t.Errorf("%s: signed as %s, %v; asked %d times; want %s, %d", at, got, err, len(c.asked), id, asked)
			}
		}
		want("at first", "ASIA1", 1)
		want("again", "ASIA1", 1)
		f := c.asked[0]
		if f.Get("Action") != "AssumeRoleWithWebIdentity" || f.Get("Version") != "2011-06-15" || f.Get("RoleArn") != "arn:aws:iam::123456789012:role/reader" ||
			f.Get("RoleSessionName") != "postern" || f.Get("WebIdentityToken") != "the-web-identity" || c.to[0] != "https://sts.eu-west-1.amazonaws.com/" {
			t.Errorf("%s %v", c.to[0], f)
		}
		r := c.sent[0]
		if r.Header.Get(amzToken) != "session-token-1/+==" || !strings.Contains(r.Header.Get("Authorization"), "x-amz-security-token") {
			t.Errorf("%v", r.Header)
		}
		time.Sleep(50 * time.Minute)
		want("when it gets old", "ASIA1", 2)
		want("renewed", "ASIA2", 2)
		time.Sleep(50 * time.Minute)
		c.status = 500
		want("while STS fails", "ASIA2", 3)
		time.Sleep(9 * time.Minute)
		want("to its end", "ASIA2", 4)
		time.Sleep(2 * time.Minute)
		sent := len(c.sent)
		_, _, err := c.call()
		var d *policy.Denial
		if !errors.As(err, &d) || d.Code != policy.CredentialUnavailable || len(c.sent) != sent {
			t.Errorf("expired: %v, sent %d times", err, len(c.sent)-sent)
		}
		c.status = 200
		time.Sleep(10 * time.Minute)
		want("when STS is back", fmt.Sprintf("ASIA%d", len(c.asked)+1), len(c.asked)+1)
	})
}

// TestRoleClock: keys last as long as STS says by its own clock, however wrong ours is.
func TestRoleClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, role, identity())
		defer c.close()
		c.ahead = -2 * time.Hour // so that its Expiration is past already
		for range 3 {
			if id, _, err := c.call(); err != nil || id != "ASIA1" {
				t.Errorf("%s, %v", id, err)
			}
			time.Sleep(10 * time.Minute)
		}
	})
}

// TestRoleSecrets: what the keys are made of is redacted, and the session token is
// masked in answers.
func TestRoleSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, role, identity())
		defer c.close()
		if _, body, err := c.call(); err != nil || body != "you sent *******************" {
			t.Errorf("%q, %v", body, err)
		}
		if _, _, err := c.call(); err != nil {
			t.Error(err)
		}
		if want := []string{"secret-access-key-1", "session-token-1/+=="}; !slices.Equal(c.guarded, want) {
			t.Errorf("guarded %q, want %q", c.guarded, want)
		}
	})
}

// TestRoleRefusedKey: keys that the service does not take are replaced, once.
func TestRoleRefusedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, role, identity())
		defer c.close()
		c.refuse = "ASIA1"
		if id, _, err := c.call(); err != nil || id != "ASIA2" || len(c.asked) != 2 || len(c.sent) != 2 {
			t.Errorf("%s, %v; asked %d times, sent %d times", id, err, len(c.asked), len(c.sent))
		}
		c.refuse = "ASIA"
		for range 5 {
			if _, _, err := c.call(); err != nil {
				t.Error(err)
			}
		}
		if len(c.asked) > 3 {
			t.Errorf("asked %d times", len(c.asked))
		}
	})
}

// TestRoleIdentity: a web identity that STS refuses is read anew where it comes from.
func TestRoleIdentity(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	write := func(s string) {
		if err := os.WriteFile(name, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the old identity")
	c := open(t, "role_arn = \"arn:aws:iam::123456789012:role/reader\"\nweb_identity_token = file(\""+name+"\")\nrole_session_name = \"billing\"\nsts_url = \"https://sts.example.com/x\"", block.NewSecrets(nil))
	defer c.close()
	c.body = keys(1, time.Now().Add(time.Hour))
	ask := c.set.Provider("p").Plans()[0]
	var source *connection.Source
	for _, st := range ask.Stages {
		if s, ok := st.Holds.(*connection.Source); ok {
			source = s
		}
	}
	if _, err := source.Mint(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	write("the new identity")
	time.Sleep(30 * time.Millisecond) // between two looks at a file
	c.status, c.body = 400, "<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>Token expired: the old identity</Message></Error></ErrorResponse>"
	_, err := source.Mint(t.Context(), "", "")
	if err == nil || strings.Contains(err.Error(), "the new identity") || !strings.Contains(err.Error(), "ExpiredTokenException") {
		t.Errorf("%v", err)
	}
	if len(c.asked) != 3 || c.asked[1].Get("WebIdentityToken") != "the old identity" || c.asked[2].Get("WebIdentityToken") != "the new identity" || c.asked[2].Get("RoleSessionName") != "billing" || c.to[2] != "https://sts.example.com/x" {
		t.Errorf("%v %v", c.asked, c.to)
	}
}

// TestRoleAnswers: what STS may answer that has no keys.
func TestRoleAnswers(t *testing.T) {
	till := time.Now().Add(time.Hour)
	good := keys(1, till)
	for _, c := range []struct{ name, body, want string }{
		{"JSON", `{"access_token":"x"}`, "not XML"},
		{"nothing", "", "not XML"},
		{"another answer", "<GetCallerIdentityResponse/>", "no usable keys"},
		{"no secret", strings.Replace(good, "secret-access-key-1", "", 1), "no usable keys"},
		{"no session", strings.Replace(good, "session-token-1/+==", "", 1), "no usable keys"},
		{"no id", strings.Replace(good, "ASIA1", "", 1), "no usable keys"},
		{"no end", strings.Replace(good, till.UTC().Format(time.RFC3339), "soon", 1), "no usable keys"},
		{"a line break", strings.Replace(good, "session-token-1", "a&#13;&#10;X-Evil: 1", 1), "no usable keys"},
	} {
		if _, err := token(http.Header{}, []byte(c.body), time.Now()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "session-token") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	err := refusal(403, []byte("<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized: the-web-identity</Message></Error></ErrorResponse>"), "the-web-identity")
	if text := err.Error(); !strings.Contains(text, "AccessDenied") || strings.Contains(text, "the-web-identity") {
		t.Errorf("%s", text)
	}
}

// TestRoleOfRoute: a route's own role has keys of its own, sealed for the provider's
// hosts, and the global endpoint where no region is written.
func TestRoleOfRoute(t *testing.T) {
	r := &Role{RoleARN: "arn:aws:iam::1:role/x", hosts: []policy.Host{"b.example", "a.example"}}
	whole, route := r.source(policy.Scope{Provider: "p"}, credential.NewLive(), ""), r.source(policy.Scope{Provider: "p", Route: "/r"}, credential.NewLive(), "")
	if whole.Credential == route.Credential || !slices.Equal(route.Hosts, []string{"a.example", "b.example"}) || r.endpoint != "https://sts.amazonaws.com/" {
		t.Errorf("%+v %+v %s", whole, route, r.endpoint)
	}
}

// TestRoleRefused: what cannot be assumed is refused when the policy is loaded.
func TestRoleRefused(t *testing.T) {
	for src, want := range map[string]string{
		`role_arn = "reader"` + "\nweb_identity_token = env(\"I\")": "is not the ARN of a role",
		`web_identity_token = env("I")`:                             "is not the ARN of a role",
		`role_arn = "arn:aws:iam::1:role/x"`:                        "web_identity_token is needed",
		role + "\naccess_key_id = \"A\"":                            "either a key is written, or a role",
		role + "\nsts_url = \"http://sts.example.com\"":             "is not an https URL",
		role + "\nsts_url = \"sts.example.com\"":                    "is not an https URL",
		"":                                                          "access_key_id is needed",
		`role_arn = "arn:aws:iam::1:role/x"` + "\nweb_identity_token = \"written\"": "does not belong into a policy",
	} {
		f, diags := hclsyntax.ParseConfig([]byte(src+"\n"), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if diags = block.Decode(f.Body, block.NewContext("test", block.NewSecrets(nil)), new(Block)); !diags.HasErrors() || !strings.Contains(strings.ToLower(diags.Error()), strings.ToLower(want)) {
			t.Errorf("%s: %v, want %q", src, diags, want)
		}
	}
}
