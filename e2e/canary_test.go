package e2e

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/canary"
	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

const canaryMain = `
proxy {
  listen = "PROXY"
  client "app" {
    token = env("CLIENT_TOKEN")
  }
}
inbound { listen = "INBOUND" }
admin {
  listen = "ADMIN"
  token  = env("ADMIN_TOKEN")
  pprof  = true
}
`

const canaryProviders = `
provider "bearer" {
  hosts    = ["bearer.test"]
  upstream = "UPSTREAM"
  credential "bearer" {
    token = [env("BEARER_NEW"), env("BEARER_OLD")]
  }
  error {
    code    = response.body.error.code
    message = response.body.error.message
  }
  retry {
    attempts = 3
    backoff {
      first = "5ms"
      max   = "10ms"
    }
  }
  timeout {
    attempt = "300ms"
    total   = "1s"
  }
}

provider "basic" {
  hosts    = ["basic.test"]
  upstream = "UPSTREAM"
  credential "basic" {
    username = "user"
    password = file("secrets/basic")
  }
}

provider "header" {
  hosts    = ["header.test"]
  upstream = "UPSTREAM"
  credential "header" {
    name  = "X-Api-Key"
    value = env("HEADER")
  }
}

provider "query" {
  hosts    = ["query.test"]
  upstream = "UPSTREAM"
  credential "query" {
    name  = "api_key"
    value = env("QUERY")
  }
}

provider "path" {
  hosts    = ["path.test"]
  upstream = "UPSTREAM"
  credential "path" {
    token  = env("PATH_TOKEN")
    prefix = "/bot${token}"
  }
}

provider "body" {
  hosts    = ["body.test"]
  upstream = "UPSTREAM"
  credential "body" {
    fields = { client_id = env("CLIENT_ID"), secret = env("BODY") }
  }
}

provider "gone" {
  hosts    = ["gone.test"]
  upstream = "GONE"
  credential "query" {
    name  = "api_key"
    value = env("GONE_KEY")
  }
}

provider "untrusted" {
  hosts    = ["untrusted.test"]
  upstream = "UNTRUSTED"
  credential "path" {
    token  = env("UNTRUSTED_KEY")
    prefix = "/bot${token}"
  }
}

provider "managed" {
  hosts    = ["managed.test"]
  upstream = "UPSTREAM"
  credential "header" {
    name  = "X-Api-Key"
    value = expect(command("cat", "secrets/managed"), "sec-")
  }
}

provider "unmanaged" {
  hosts    = ["unmanaged.test"]
  upstream = "UPSTREAM"
  credential "bearer" {
    token = command("sh", "-c", "cat secrets/unmanaged; cat secrets/unmanaged >&2; exit 1", { env = ["VAULT_TOKEN"] })
  }
}

provider "removed" {
  hosts    = ["removed.test"]
  upstream = "UPSTREAM"
  credential "bearer" {
    token = file("secrets/removed")
  }
}
`

// canaryHooks has one webhook per scheme; those of token and basic carry the secret itself in every request.
const canaryHooks = `
webhook "stripe" {
  path = "/stripe"
  verify "stripe" {
    secrets = [env("WH_STRIPE")]
  }
  event {
    id = body.id
  }
  deliver {
    to = "RECEIVER"
  }
}

webhook "hmac" {
  path = "/hmac"
  verify "hmac" {
    secrets = [file("secrets/hmac")]
    header  = "X-Hub-Signature-256"
    prefix  = "sha256="
  }
  event {
    id = body.id
  }
  deliver {
    to = "RECEIVER"
  }
}

webhook "token" {
  path = "/token"
  verify "token" {
    header  = "X-Token"
    secrets = [env("WH_TOKEN")]
  }
  event {
    id = body.id
  }
  deliver {
    to = "RECEIVER"
  }
  retry {
    attempts = 2
    backoff {
      first = "10ms"
    }
  }
}

webhook "basic" {
  path = "/basic"
  verify "basic" {
    username = "user"
    password = env("WH_BASIC")
  }
  event {
    id = body.id
  }
  deliver {
    to = "RECEIVER"
  }
}
`

// canaryFiles are the secrets that stand in files; the last one goes away while Postern runs.
var canaryFiles = []string{"basic", "hmac", "managed", "unmanaged", "removed"}

// leak is the state of one canary run: every secret, and every text that left Postern.
type leak struct {
	t       *testing.T
	p       *harness.Postern
	c       *http.Client
	secrets map[string]canary.Secret
	texts   map[string]string
	ids     []string // correlation ids that the application was given
}

// TestC50Canary makes every secret of a run unique, walks through successes and failures of both directions, and
// looks for them in everything that Postern wrote, answered or stored.
func TestC50Canary(t *testing.T) {
	harness.Binary(t)
	l := &leak{t: t, secrets: map[string]canary.Secret{}, texts: map[string]string{}}
	// What goes into a header line is kept to what one may hold; the others are as awkward as text can be.
	const header, awkward = `~'%2B"<&+/=`, `"<&%+/\é=`
	opts := []harness.Option{harness.WithEnv("CLIENT_ID", "me")}
	for name, suffix := range map[string]string{
		"CLIENT_TOKEN": "", "ADMIN_TOKEN": "", "BEARER_NEW": "", "BEARER_OLD": "-._~+/=", "HEADER": header, "QUERY": awkward, "PATH_TOKEN": ":AA-b_c",
		"BODY": awkward, "GONE_KEY": awkward, "UNTRUSTED_KEY": "", "WH_STRIPE": awkward, "WH_TOKEN": header, "WH_BASIC": awkward,
	} {
		l.secrets[name] = canary.New(name, "sec-", suffix)
		opts = append(opts, harness.WithEnv(name, l.secrets[name].Value))
	}
	for _, file := range canaryFiles {
		l.secrets["file "+file] = canary.New("file "+file, "sec-", awkward)
	}
	l.secrets["file removed"] = canary.New("file removed", "sec-", "")
	l.secrets["literal"] = canary.New("literal", "sec-", "")

	ca, other := authority(t), authority(t)
	provider := upstream(t, faults.Config{CA: ca, Backend: http.HandlerFunc(l.echo)})
	untrusted := upstream(t, faults.Config{CA: other})
	gone := upstream(t, faults.Config{})
	gone.Close()
	app := application(t, func(d receiver.Delivery) int {
		if strings.HasPrefix(d.ID, "evt_failing") {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	fill := strings.NewReplacer("UPSTREAM", provider.URL(), "UNTRUSTED\"", untrusted.URL()+"\"", "GONE\"", gone.URL()+"\"", "RECEIVER", app.URL)
	bank := l.bank(ca)
	l.p = harness.New(t, harness.Files{
		"postern.hcl": canaryMain, "providers.hcl": fill.Replace(canaryProviders), "hooks.hcl": fill.Replace(canaryHooks), "bank.hcl": bank.policy,
	}, append(opts, harness.Trusting(bank.trusted))...)
	l.p.AdminToken = l.secrets["ADMIN_TOKEN"].Value
	if err := os.Mkdir(filepath.Join(l.p.Dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range canaryFiles {
		l.p.Write("secrets/"+file, l.secrets["file "+file].Value+"\n")
	}
	bank.write(l.p)
	l.p.Run()
	l.c = l.p.ClientAs(url.UserPassword("app", l.secrets["CLIENT_TOKEN"].Value), false)

	l.outbound(provider)
	if err := os.Remove(filepath.Join(l.p.Dir, "secrets", "removed")); err != nil {
		t.Fatal(err)
	}
	l.outbound(provider)
	l.certificates(bank)
	l.echoes()
	l.inbound(app)
	l.badReload()
	waiting := l.underWay(provider)
	l.asked()
	l.profiles()
	l.process()
	l.reach(provider)
	l.texts["the SIGQUIT dump"] = l.p.Dump()
	waiting.Wait()
	l.judge()
}

// echo is a provider that repeats all it was sent, as real ones do in their error messages.
func (l *leak) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	said := fmt.Sprintf("%s %s %v %s", r.Method, r.RequestURI, r.Header, body)
	w.Header().Set("X-Echo", strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '.'
		}
		return c
	}, said))
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Query().Get("say") {
	case "401":
		w.WriteHeader(http.StatusUnauthorized)
	case "400":
		w.WriteHeader(http.StatusBadRequest)
	case "302":
		w.Header().Set("Location", "https://elsewhere.test/?"+r.URL.RawQuery)
		w.WriteHeader(http.StatusFound)
	}
	out := io.Writer(w)
	if r.URL.Query().Get("say") == "gzip" {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		out = z
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.Encode(map[string]any{
		"error": map[string]string{"code": "invalid_key", "message": "Invalid API key: " + said},
		"auth":  r.Header.Get("Authorization"), "key": r.Header.Get("X-Api-Key"), "query": r.URL.Query().Get("api_key"), "path": r.URL.Path,
	})
}

// call makes one call and keeps all the application sees.
func (l *leak) call(method, target, body string, header ...string) {
	a, err := harness.Do(l.c, method, target, body, header...)
	place := fmt.Sprintf("the answer to %s %s %d", method, target, len(l.texts))
	if err != nil {
		l.texts[place] = err.Error()
		return
	}
	var head strings.Builder
	a.Header.Write(&head)
	l.texts[place] = fmt.Sprintf("%d\n%s\n%s", a.Status, head.String(), unzipped(a.Body))
	if id := a.Header.Get("Postern-Id"); id != "" {
		l.ids = append(l.ids, id)
	}
}

func (l *leak) outbound(provider *faults.Server) {
	hosts := []string{"bearer", "basic", "header", "query", "path", "body", "gone", "untrusted", "managed", "unmanaged", "removed"}
	for _, host := range hosts {
		for _, say := range []string{"", "400", "401", "302"} {
			l.call(http.MethodGet, "https://"+host+".test/v1/things?say="+say, "")
			l.call(http.MethodPost, "https://"+host+".test/v1/things?say="+say, "a=1")
			l.call(http.MethodPost, "https://"+host+".test/v1/things?say="+say, `{"a":1}`, "Content-Type", "application/json")
		}
		for _, step := range []faults.Step{faults.Answer(503, "down"), faults.ResetRead(), faults.ResetUnread(), faults.ResetHalf(), faults.Answer(429, "", "Retry-After", "0")} {
			provider.Script(step, step, step)
			l.call(http.MethodGet, "https://"+host+".test/v1/broken", "")
			provider.Script(step)
			l.call(http.MethodPost, "https://"+host+".test/v1/broken", "a=1")
		}
	}
	provider.Script(faults.Hang(), faults.Hang(), faults.Hang())
	l.call(http.MethodGet, "https://bearer.test/v1/hangs", "")
	provider.Script()
	// Base URLs: the client's token stands in the key's own slot.
	token := l.secrets["CLIENT_TOKEN"].Value
	direct := l.c
	l.c = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	l.call(http.MethodGet, "http://"+l.p.Proxy+"/p/bearer/v1/things", "", "Authorization", "Bearer "+token)
	l.call(http.MethodGet, "http://"+l.p.Proxy+"/p/header/v1/things", "", "X-Api-Key", token)
	l.call(http.MethodGet, "http://"+l.p.Proxy+"/p/bearer/v1/things", "", "Authorization", "Bearer wrong"+token[5:])
	l.call(http.MethodGet, "http://"+l.p.Proxy+"/p/nobody/v1/things?token="+token, "", "Authorization", "Bearer "+token)
	l.c = l.p.ClientAs(url.UserPassword("nobody", token), false)
	l.call(http.MethodGet, "https://bearer.test/v1/things", "")
	l.c = direct
}

func (l *leak) inbound(app *receiver.Receiver) {
	secret := func(name string) string { return l.secrets[name].Value }
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret("WH_BASIC")))
	sign := map[string]func(body string) post{
		"/stripe": func(b string) post { return signStripe("/stripe", secret("WH_STRIPE"), b, time.Now()) },
		"/hmac":   func(b string) post { return signGitHub("/hmac", secret("file hmac"), "", b) },
		"/token":  func(b string) post { return post{Path: "/token", Body: b}.with("X-Token", secret("WH_TOKEN")) },
		"/basic":  func(b string) post { return post{Path: "/basic", Body: b}.with("Authorization", basic) },
	}
	events := 0
	for path, s := range sign {
		good := s(`{"id":"evt_good","n":1}`)
		events++
		for _, p := range []post{
			good, good, s(`{"id":"evt_good","n":2}`), s(`{"id":"evt_failing"}`), s("not json"), s(""), s(strings.Repeat("x", 100)),
			{Path: path, Body: good.Body, Method: http.MethodGet, Headers: good.Headers},
			{Path: path + "/unknown", Body: good.Body, Headers: good.Headers},
			{Path: path + "?key=" + url.QueryEscape(secret("WH_TOKEN")), Body: good.Body},
			{Path: path, Body: good.Body},
		} {
			l.post(p)
		}
		for _, p := range mutations(good) {
			l.post(p)
		}
	}
	if _, err := app.Wait(30*time.Second, func(all []receiver.Delivery) bool { return len(applied(all)) >= events }); err != nil {
		l.t.Error(err)
	}
	for i, d := range app.Deliveries() {
		var head strings.Builder
		d.Header.Write(&head)
		l.texts[fmt.Sprintf("delivery %d to the application", i)] = head.String() + string(d.Body)
	}
}

func (l *leak) post(p post) {
	status, body, err := send(l.p.Inbound, p)
	l.texts[fmt.Sprintf("the answer to webhook %d at %s", len(l.texts), p.Path)] = fmt.Sprint(status, body, err)
}

// badReload offers a policy that holds a secret in the clear, which is refused.
func (l *leak) badReload() {
	bad := filepath.Join(l.p.Dir, "bad.hcl")
	l.p.Write("bad.hcl", "provider \"bad\" {\n  hosts = [\"bad.test\"]\n  credential \"bearer\" {\n    token = \""+l.secrets["literal"].Value+"\"\n  }\n}\n")
	before := len(l.p.Stderr())
	if err := l.p.Signal(syscall.SIGHUP); err != nil {
		l.t.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(l.p.Stderr()) == before && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	if len(l.p.Stderr()) == before {
		l.t.Error("a refused reload left no word")
	}
	r := l.p.Command(nil, "validate")
	if r.Code != 2 {
		l.t.Errorf("validate accepts a secret in the clear: %v", r)
	}
	l.texts["validate of a secret in the clear"] = r.Stdout + r.Stderr
	if err := os.Remove(bad); err != nil {
		l.t.Error(err)
	}
}

// asked collects what the command line and the admin listener say, with the secrets in the command's reach.
func (l *leak) asked() {
	var env []string
	for name, s := range l.secrets {
		if !strings.Contains(name, " ") && name != "literal" {
			env = append(env, name+"="+s.Value)
		}
	}
	env = append(env, "POSTERN_ADMIN_TOKEN="+l.p.AdminToken)
	for _, args := range [][]string{
		{"validate"},
		{"secrets", "check"},
		{"secrets", "check", "--output", "json"},
		{"fmt", "--check"},
		{"explain", "GET", "https://query.test/v1/things"},
		{"explain", "POST", "https://path.test/v1/things"},
		{"explain", "POST", "https://bearer.test/v1/things"},
		{"explain", "POST", "https://bank.test/v1/things"},
		{"inbox", "list"},
		{"inbox", "list", "--output", "json"},
		{"inbox", "list", "--output", "ndjson"},
		{"inbox", "groups"},
		{"inbox", "expect"},
		{"inbox", "subscriptions"},
		{"health"},
		{"version"},
	} {
		r := l.p.Command(env, args...)
		l.texts["postern "+strings.Join(args, " ")] = r.Stdout + r.Stderr
	}
	for _, path := range l.adminPaths() {
		_, body, err := l.p.Get(path)
		if err != nil {
			l.t.Error(err)
		}
		l.texts["admin "+path] = body
	}
	if !strings.Contains(l.texts["admin /metrics"], "postern_") {
		l.t.Error("no metrics to look into")
	}
}

// adminPaths are the fixed ones, and every GET of the API's own document that takes no parameter in its path.
func (l *leak) adminPaths() []string {
	paths := []string{
		"/livez", "/readyz", "/readyz?verbose", "/startupz", "/metrics", "/", "/inbox", "/api/v1/openapi.json",
		"/debug/pprof/", "/debug/pprof/cmdline", "/debug/vars",
	}
	_, doc, err := l.p.Get("/api/v1/openapi.json")
	var api struct {
		Paths map[string]map[string]any
	}
	if err == nil && json.Unmarshal([]byte(doc), &api) == nil {
		for path, methods := range api.Paths {
			if methods["get"] != nil && !strings.Contains(path, "{") {
				if !strings.HasPrefix(path, "/api/") {
					path = "/api/v1" + path
				}
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// reach shows that what a provider was sent holds its own secret and nobody else's.
func (l *leak) reach(provider *faults.Server) {
	owner := map[string][]string{
		"bearer.test": {"BEARER_NEW", "BEARER_OLD"}, "basic.test": {"file basic"}, "header.test": {"HEADER"}, "query.test": {"QUERY"},
		"path.test": {"PATH_TOKEN"}, "body.test": {"BODY"}, "removed.test": {"file removed"}, "managed.test": {"file managed"},
	}
	credentialed := map[string]bool{}
	for _, r := range provider.Requests() {
		text := fmt.Sprintf("%s %v %s", r.Target, r.Header, r.Body)
		for name, s := range l.secrets {
			if len(canary.Scan("", []byte(text), s)) == 0 {
				continue
			}
			if slices.Contains(owner[r.Host], name) {
				credentialed[name] = true
			} else {
				l.t.Errorf("%s reached %s", name, r.Host)
			}
		}
	}
	for host, names := range owner {
		for _, name := range names {
			if !credentialed[name] {
				l.t.Errorf("%s was never sent %s: the canary does not sing", host, name)
			}
		}
	}
}

// judge scans everything, the files of the folder included, and checks that the scan can find anything at all.
func (l *leak) judge() {
	l.t.Helper()
	l.texts["stdout"], l.texts["stderr"] = l.p.Stdout(), l.p.Stderr()
	stored := false
	err := filepath.WalkDir(l.p.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(l.p.Dir, path)
		if err != nil || strings.HasPrefix(name, "secrets/") {
			return err
		}
		b, err := os.ReadFile(path)
		l.texts["file "+name] = string(b)
		stored = stored || strings.HasPrefix(name, "postern.db") && strings.Contains(string(b), "evt_good")
		return err
	})
	if err != nil {
		l.t.Error(err)
	}
	secrets := []canary.Secret{}
	for _, s := range l.secrets {
		secrets = append(secrets, s)
	}
	hits := map[string][]canary.Hit{}
	for _, place := range slices.Sorted(maps.Keys(l.texts)) {
		for _, hit := range canary.Scan(place, []byte(l.texts[place]), secrets...) {
			hits[hit.Secret] = append(hits[hit.Secret], hit)
		}
	}
	for secret, all := range hits {
		l.t.Errorf("%s was found %d times:", secret, len(all))
		for _, hit := range all[:min(len(all), 5)] {
			l.t.Log(hit)
		}
	}
	if len(l.ids) < 100 {
		l.t.Errorf("%d correlation ids for all those calls", len(l.ids))
	}
	for _, id := range l.ids {
		if !strings.Contains(l.texts["stderr"], id) {
			l.t.Errorf("positive control: %s is not in the log", id)
			break
		}
	}
	if !stored {
		l.t.Error("positive control: evt_good is not in the database")
	}
	l.t.Logf("%d secrets, %d texts, %d correlation ids", len(secrets), len(l.texts), len(l.ids))
}
