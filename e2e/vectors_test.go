package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

// vector is one row of testdata/vectors.json: a request that a provider documented or signed, as it came.
type vector struct {
	Name        string
	Source      string            // the document or SDK it was taken from; "made" where no vendor publishes one
	Verify      map[string]string // the verify block: kind, and its attributes but secrets and tolerance
	Origin      string            // of the public URL
	Path        string
	Secret      string
	Headers     map[string]string
	Body        string
	ContentType string `json:"content_type"`
	Timed       bool   // the scheme signs a time: long past by now, so refused under the default tolerance
	Want        int
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// eternity is a tolerance under which a documented timestamp is still fresh.
const eternity = "36500d"

// block writes the webhook block of the n-th vector.
func (v vector) block(n int, to, tolerance string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "webhook \"v%d\" {\n  path = %q\n  verify %q {\n    secrets = [env(\"SECRET_%d\")]\n", n, v.Path, v.Verify["kind"], n)
	for _, name := range slices.Sorted(maps.Keys(v.Verify)) {
		switch name {
		case "kind":
		case "message": // a template: its own quotes are part of the expression
			fmt.Fprintf(&b, "    message = \"%s\"\n", v.Verify[name])
		default:
			fmt.Fprintf(&b, "    %s = %q\n", name, v.Verify[name])
		}
	}
	if v.Timed && tolerance != "" {
		fmt.Fprintf(&b, "    tolerance = %q\n", tolerance)
	}
	fmt.Fprintf(&b, "  }\n  deliver {\n    to = %q\n  }\n}\n", to+v.Path)
	return b.String()
}

func (v vector) post() post {
	p := post{Path: v.Path, Body: v.Body}
	if v.ContentType == "" {
		v.ContentType = "application/json"
	}
	p = p.with("Content-Type", v.ContentType)
	for _, name := range slices.Sorted(maps.Keys(v.Headers)) {
		p = p.with(name, v.Headers[name])
	}
	return p
}

// startVectors starts a Postern whose webhooks are the vectors of one origin.
func startVectors(t *testing.T, vs []vector, origin, tolerance string) (*harness.Postern, *receiver.Receiver, []vector) {
	t.Helper()
	vs = slices.DeleteFunc(slices.Clone(vs), func(v vector) bool { return v.Origin != origin })
	app := application(t, nil)
	var hcl strings.Builder
	var opts []harness.Option
	names := map[string]bool{}
	for i := range vs {
		if names[vs[i].Path] {
			t.Fatalf("two vectors at %s", vs[i].Path)
		}
		names[vs[i].Path] = true
		hcl.WriteString(vs[i].block(i, app.URL, tolerance))
		opts = append(opts, harness.WithEnv("SECRET_"+strconv.Itoa(i), vs[i].Secret))
	}
	main := strings.Replace(harness.Main, `inbound { listen = "INBOUND" }`,
		"inbound {\n  listen = \"INBOUND\"\n  public_url = \""+origin+"\"\n}", 1)
	return harness.Start(t, harness.Files{"postern.hcl": main, "hooks.hcl": hcl.String()}, opts...), app, vs
}

func origins(vs []vector) []string {
	set := map[string]bool{}
	for _, v := range vs {
		set[v.Origin] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// TestVectors sends every vector through the real listener, then every mutation of it.
func TestVectors(t *testing.T) {
	harness.Binary(t)
	all := readVectors(t)
	for _, origin := range origins(all) {
		t.Run(strings.TrimPrefix(origin, "https://"), func(t *testing.T) {
			p, app, vs := startVectors(t, all, origin, eternity)
			good := map[string]vector{}
			for _, v := range vs {
				mustSend(t, p.Inbound, v.Name, v.post(), v.Want)
				if v.Want != 200 {
					continue
				}
				good[v.Path] = v
				bad := mutations(v.post())
				for _, name := range slices.Sorted(maps.Keys(bad)) {
					mustSend(t, p.Inbound, v.Name+": "+name, bad[name], 401)
				}
			}
			for _, d := range waitApplied(t, app, len(good)) {
				v, ok := good[d.Path]
				if !ok || string(d.Body) != v.Body {
					t.Errorf("delivered to %s more than once, or otherwise than sent: %q", d.Path, d.Body)
				}
				delete(good, d.Path)
			}
			for _, v := range good {
				t.Errorf("%s: not delivered", v.Name)
			}
		})
	}
}

// TestStaleVectors: the same requests under the default tolerance are too old.
func TestStaleVectors(t *testing.T) {
	harness.Binary(t)
	all := slices.DeleteFunc(readVectors(t), func(v vector) bool { return !v.Timed })
	for _, origin := range origins(all) {
		p, app, vs := startVectors(t, all, origin, "")
		for _, v := range vs {
			mustSend(t, p.Inbound, v.Name, v.post(), 401)
		}
		if n := p.Metric("postern_inbox_requests_total", `result="stale"`); int(n) != len(vs) {
			t.Errorf("%v requests counted as stale, want %d", n, len(vs))
		}
		if got := app.Deliveries(); len(got) != 0 {
			t.Errorf("%d deliveries", len(got))
		}
	}
}

// TestTokenAndBasic are the schemes without a signature.
func TestTokenAndBasic(t *testing.T) {
	harness.Binary(t)
	app := application(t, nil)
	p := harness.Start(t, harness.Files{"hooks.hcl": strings.ReplaceAll(`
webhook "token" {
  path = "/token"
  verify "token" {
    header  = "X-Gitlab-Token"
    secrets = [env("TOKEN_NEW"), env("TOKEN_OLD")]
  }
  event {
    id = body.id
  }
  deliver {
    to = "RECEIVER/token"
  }
}

webhook "basic" {
  path = "/basic"
  verify "basic" {
    username = "postmark"
    password = env("PASSWORD")
  }
  event {
    id = body.id
  }
  deliver {
    to = "RECEIVER/basic"
  }
}
`, "RECEIVER", app.URL)},
		harness.WithEnv("TOKEN_NEW", "token-the-new-one"), harness.WithEnv("TOKEN_OLD", "token-the-old-one"), harness.WithEnv("PASSWORD", "p:ässwörd"))
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for _, tt := range []struct {
		name, path string
		headers    []string
		want       int
	}{
		{"new token", "/token", []string{"X-Gitlab-Token", "token-the-new-one"}, 200},
		{"old token", "/token", []string{"X-Gitlab-Token", "token-the-old-one"}, 200},
		{"no token", "/token", nil, 401},
		{"empty token", "/token", []string{"X-Gitlab-Token", ""}, 401},
		{"short token", "/token", []string{"X-Gitlab-Token", "token-the-new-on"}, 401},
		{"long token", "/token", []string{"X-Gitlab-Token", "token-the-new-one1"}, 401},
		{"other case", "/token", []string{"X-Gitlab-Token", "TOKEN-the-new-one"}, 401},
		{"good then bad", "/token", []string{"X-Gitlab-Token", "token-the-new-one", "X-Gitlab-Token", "x"}, 401},
		{"bad then good", "/token", []string{"X-Gitlab-Token", "x", "X-Gitlab-Token", "token-the-new-one"}, 401},
		{"in another header", "/token", []string{"Authorization", "Bearer token-the-new-one"}, 401},
		{"password", "/basic", []string{"Authorization", basic("postmark", "p:ässwörd")}, 200},
		{"lower-case scheme", "/basic", []string{"Authorization", strings.Replace(basic("postmark", "p:ässwörd"), "Basic", "basic", 1)}, 200},
		{"no password", "/basic", nil, 401},
		{"empty password", "/basic", []string{"Authorization", basic("postmark", "")}, 401},
		{"wrong password", "/basic", []string{"Authorization", basic("postmark", "p:asswörd")}, 401},
		{"wrong user", "/basic", []string{"Authorization", basic("Postmark", "p:ässwörd")}, 401},
		{"user alone", "/basic", []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("postmark"))}, 401},
		{"as bearer", "/basic", []string{"Authorization", "Bearer p:ässwörd"}, 401},
		{"unencoded", "/basic", []string{"Authorization", "Basic postmark:p:ässwörd"}, 401},
		{"twice", "/basic", []string{"Authorization", basic("postmark", "p:ässwörd"), "Authorization", basic("postmark", "p:ässwörd")}, 401},
	} {
		r := post{Path: tt.path, Body: fmt.Sprintf(`{"id":%q}`, tt.name)}.with("Content-Type", "application/json")
		for i := 0; i < len(tt.headers); i += 2 {
			r = r.with(tt.headers[i], tt.headers[i+1])
		}
		mustSend(t, p.Inbound, tt.name, r, tt.want)
	}
	for _, d := range waitApplied(t, app, 4) {
		if !slices.Contains([]string{"new token", "old token", "password", "lower-case scheme"}, d.ID) {
			t.Errorf("delivered %q", d.ID)
		}
		if d.Header.Get("X-Gitlab-Token") != "" || d.Header.Get("Authorization") != "" {
			t.Errorf("%q: the sender's secret was passed on", d.ID)
		}
	}
}

// TestEmptySecretIsRefused: an HMAC works with an empty key, so the policy must not.
func TestEmptySecretIsRefused(t *testing.T) {
	harness.Binary(t)
	app := application(t, nil)
	for kind, sign := range map[string]func() post{
		"stripe": func() post { return signStripe("/h", "", "{}", time.Now()) },
		"github": func() post { return signGitHub("/h", "", "1", "{}") },
		"slack":  func() post { return signSlack("/h", "", "{}", time.Now()) },
	} {
		hcl := fmt.Sprintf("webhook \"h\" {\n  path = \"/h\"\n  verify %q {\n    secrets = [env(\"EMPTY\")]\n  }\n  deliver {\n    to = %q\n  }\n}\n", kind, app.URL)
		p := harness.New(t, harness.Files{"h.hcl": hcl}, harness.WithEnv("EMPTY", ""))
		if err := p.TryRun(); err != nil {
			continue // refused at start: the best answer
		}
		if status, _, err := send(p.Inbound, sign()); err == nil && status/100 == 2 {
			t.Errorf("%s: an event signed with an empty secret was accepted: %d", kind, status)
		}
	}
	if got := app.Deliveries(); len(got) != 0 {
		t.Errorf("%d deliveries", len(got))
	}
}
