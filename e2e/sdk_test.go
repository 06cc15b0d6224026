package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
)

// The SDKs below run as their vendors ship them. What the application holds is dummy: keys of the right form that the
// provider does not know. The provider verifies what reaches it with golang-jwt.

// keyPair makes an RSA key and writes it into dir as PKCS #8, as PEM.
func keyPair(t *testing.T, dir, name string) (key *rsa.PrivateKey, text, file string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	file = filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, text, file
}

// verified checks a JWT: RS256 by key, still good, and for no longer than within.
func verified(key *rsa.PublicKey, text string, within time.Duration, opts ...jwt.ParserOption) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	opts = append(opts, jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if _, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return key, nil }, opts...); err != nil {
		return nil, err
	}
	from, err := claims.GetIssuedAt()
	until, _ := claims.GetExpirationTime() // required above
	if err != nil || from == nil || until.Sub(from.Time) > within {
		return nil, fmt.Errorf("issued at %v, good until %v: %v", from, until, err)
	}
	return claims, nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// bearer is what stands in Authorization after the scheme, whichever of them a provider takes.
func bearer(r *http.Request) string {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return token
}

// github is GitHub as far as an App needs it: /app for the App itself, tokens of its installation, the rest for those.
func github(app string, installation int, key *rsa.PublicKey, token string) http.Handler {
	own := func(f http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if _, err := verified(key, bearer(r), 11*time.Minute, jwt.WithIssuer(app)); err != nil {
				answer(w, http.StatusUnauthorized, map[string]any{"message": "A JSON web token could not be decoded: " + err.Error()})
				return
			}
			f(w, r)
		}
	}
	installed := func(status int, body map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if bearer(r) != token {
				status, body = http.StatusUnauthorized, map[string]any{"message": "Bad credentials"}
			}
			answer(w, status, body)
		}
	}
	m := http.NewServeMux()
	m.HandleFunc("GET /app", own(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, map[string]any{"slug": "our-app"}) }))
	m.HandleFunc(fmt.Sprintf("POST /app/installations/%d/access_tokens", installation), own(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusCreated, map[string]any{"token": token, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	}))
	m.HandleFunc("GET /installation/repositories", installed(200, map[string]any{"total_count": 1, "repositories": []any{map[string]any{"name": "hello"}}}))
	m.HandleFunc("POST /repos/octo/hello/issues", installed(201, map[string]any{"number": 7}))
	return m
}

const githubPolicy = `
provider "github" {
  catalog  = "github"
  upstream = "UPSTREAM"
  credential "github_app" {
    app_id          = "424242"
    installation_id = "99"
    private_key     = [file("app.pem")]
  }
}
`

// TestSDKOctokit: @octokit/auth-app signs with a key that GitHub does not know. It gets a token that opens nothing, and its
// calls go out with the App's JWT or the installation's token.
func TestSDKOctokit(t *testing.T) {
	dir, keys := harness.NeedNode(t, "@octokit/auth-app"), t.TempDir()
	key, text, _ := keyPair(t, keys, "real.pem")
	_, dummyText, dummy := keyPair(t, keys, "dummy.pem")
	token := "ghs_" + rand.Text()
	ca := authority(t)
	front := upstream(t, faults.Config{CA: ca, Backend: github("424242", 99, &key.PublicKey, token)})
	start := func(key string) (run func() harness.Result) {
		p := harness.Start(t, harness.Files{"github.hcl": strings.ReplaceAll(githubPolicy, "UPSTREAM", front.URL()), "app.pem": key}, harness.Trusting(ca.File))
		return func() harness.Result {
			return p.Exec("node", filepath.Join(dir, "github_app.mjs"), "424242", "99", dummy)
		}
	}
	run := start(text)
	for range 2 { // the second process has no use for a new token
		r := run()
		var rep struct {
			App, Token          string
			Repositories, Issue int
		}
		if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil || rep.App != "our-app" || rep.Repositories != 1 || rep.Issue != 7 {
			t.Fatalf("the application: %v: %v", err, r)
		}
		if rep.Token == token || rep.Token == "" {
			t.Errorf("the application was given %q", rep.Token)
		}
	}
	if asked := front.RequestsTo("/app/installations/99/access_tokens"); len(asked) != 1 || asked[0].Host != "api.github.com" {
		t.Errorf("%d tokens were asked for", len(asked))
	}
	if r := start(dummyText)(); r.Code == 0 || !strings.Contains(r.Stderr, "401") {
		t.Errorf("with a key that GitHub does not know: %v", r)
	}
}

// google is Google as far as a service account needs it.
func google(email, scope, keyID string, key *rsa.PublicKey, token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "oauth2.googleapis.com" && r.URL.Path == "/token" {
			claims, err := verified(key, r.FormValue("assertion"), time.Hour, jwt.WithIssuer(email), jwt.WithAudience("https://oauth2.googleapis.com/token"))
			if err == nil && claims["scope"] != scope {
				err = fmt.Errorf("scope %v", claims["scope"])
			}
			if tok, _, e := jwt.NewParser().ParseUnverified(r.FormValue("assertion"), jwt.MapClaims{}); e != nil || tok.Header["kid"] != keyID {
				err = fmt.Errorf("another key: %v, %v", e, err)
			}
			if err != nil || r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
				answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": fmt.Sprint("Invalid JWT Signature: ", err)})
				return
			}
			answer(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
			return
		}
		if r.Host != "www.googleapis.com" || bearer(r) != token {
			answer(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"code": 401, "status": "UNAUTHENTICATED"}})
			return
		}
		answer(w, http.StatusOK, map[string]any{"kind": "drive#file", "method": r.Method})
	})
}

// serviceAccount is the JSON file that Google gives out for one.
func serviceAccount(email, keyID, key string) string {
	b, _ := json.Marshal(map[string]string{ // texts
		"type": "service_account", "project_id": "postern", "private_key_id": keyID, "private_key": key, "client_email": email,
		"client_id": "123456789012345678901", "token_uri": "https://oauth2.googleapis.com/token",
	})
	return string(b)
}

const googlePolicy = `
provider "google" {
  hosts    = ["www.googleapis.com", "oauth2.googleapis.com"]
  upstream = "UPSTREAM"
  credential "jwt_bearer" {
    token_url = "https://oauth2.googleapis.com/token"
    key       = [file("account.json")]
    scopes    = ["SCOPE"]
  }
}
`

// TestSDKGoogle: google-auth-library with the file of a service account that does not exist, through the real names of
// Google's hosts. Postern has the file of one that does.
func TestSDKGoogle(t *testing.T) {
	const (
		email = "robot@postern.iam.gserviceaccount.com"
		scope = "https://www.googleapis.com/auth/drive.readonly"
		files = "https://www.googleapis.com/drive/v3/files"
	)
	dir, keys := harness.NeedNode(t, "google-auth-library"), t.TempDir()
	key, text, _ := keyPair(t, keys, "real.pem")
	_, dummyText, _ := keyPair(t, keys, "dummy.pem")
	dummy := filepath.Join(keys, "dummy.json")
	if err := os.WriteFile(dummy, []byte(serviceAccount("nobody@nowhere.iam.gserviceaccount.com", "k0", dummyText)), 0o600); err != nil {
		t.Fatal(err)
	}
	token := "ya29." + rand.Text()
	ca := authority(t)
	front := upstream(t, faults.Config{CA: ca, Backend: google(email, scope, "k1", &key.PublicKey, token)})
	run := func(key string) harness.Result {
		p := harness.Start(t, harness.Files{
			"google.hcl":   strings.NewReplacer("UPSTREAM", front.URL(), "SCOPE", scope).Replace(googlePolicy),
			"account.json": serviceAccount(email, "k1", key),
		}, harness.Trusting(ca.File))
		return p.Exec("node", filepath.Join(dir, "google.mjs"), dummy, scope, files)
	}
	r := run(text)
	var rep struct {
		Read, Made struct{ Kind, Method string }
		Token      string
	}
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil || rep.Read.Kind != "drive#file" || rep.Made.Method != "POST" {
		t.Fatalf("the application: %v: %v", err, r)
	}
	if rep.Token == "" || rep.Token == token {
		t.Errorf("the application was given %q", rep.Token)
	}
	if asked := front.RequestsTo("/token"); len(asked) != 1 || strings.Contains(string(asked[0].Body), url.QueryEscape("nobody@")) {
		t.Errorf("asked for tokens %d times", len(asked))
	}
	if r := run(dummyText); r.Code == 0 || !strings.Contains(r.Stderr, "credential_unavailable") {
		t.Errorf("with a key that Google does not know: %v", r)
	}
}

// slack is Slack as far as one message needs it: it answers 200 whatever is wrong.
func slack(token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		switch {
		case r.Host != "slack.com" || bearer(r) != token || r.Form.Has("token"):
			answer(w, 200, map[string]any{"ok": false, "error": "invalid_auth"})
		case r.URL.Path == "/api/auth.test":
			answer(w, 200, map[string]any{"ok": true, "team": "Postern"})
		default:
			answer(w, 200, map[string]any{"ok": true, "channel": r.Form.Get("channel"), "message": map[string]any{"text": r.Form.Get("text")}})
		}
	})
}

const slackPolicy = `
provider "slack" {
  catalog  = "slack"
  upstream = "UPSTREAM"
  credential "bearer" { token = env("SLACK_TOKEN") }
}
`

// TestSDKSlack: @slack/web-api with a token that Slack does not know.
func TestSDKSlack(t *testing.T) {
	dir := harness.NeedNode(t, "@slack/web-api")
	token := "xoxb-" + rand.Text()
	ca := authority(t)
	front := upstream(t, faults.Config{CA: ca, Backend: slack(token)})
	p := harness.Start(t, harness.Files{"slack.hcl": strings.ReplaceAll(slackPolicy, "UPSTREAM", front.URL())}, harness.Trusting(ca.File), harness.WithEnv("SLACK_TOKEN", token))
	r := p.Exec("node", filepath.Join(dir, "slack.mjs"), "xoxb-dummy")
	var rep struct{ Team, Text string }
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil || rep.Team != "Postern" || rep.Text != "Grüße & more: 100 %" {
		t.Fatalf("the application: %v: %v", err, r)
	}
	for _, s := range front.Requests() {
		if strings.Contains(fmt.Sprint(s.Header)+string(s.Body), "xoxb-dummy") {
			t.Errorf("%s: the application's own token reached Slack", s.Target)
		}
	}
}
