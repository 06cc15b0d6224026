package credential_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/connection"
	"github.com/postern-proxy/postern/oauth"
	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
	"github.com/postern-proxy/postern/policy/credential/awssigv4"
	"github.com/postern-proxy/postern/policy/credential/bearer"
	"github.com/postern-proxy/postern/policy/credential/clientcredentials"
	"github.com/postern-proxy/postern/policy/credential/hmac"
	"github.com/postern-proxy/postern/policy/credential/httpsignature"
	"github.com/postern-proxy/postern/policy/credential/oauth2"
	"github.com/postern-proxy/postern/seal"
	"github.com/postern-proxy/postern/store"
)

// kinds are the credentials that are compared.
var kinds = []struct {
	name, src string
	feature   func(*credential.Live) policy.Feature
}{
	{"bearer", `token = env("SECRET")`, bearer.Feature},
	{"bearer of 2 KB", `token = env("LONG")`, bearer.Feature},
	{"oauth2_client_credentials", `
		token_url     = "https://auth.example.com/token"
		client_id     = "postern"
		client_secret = env("SECRET")`, clientcredentials.Feature},
	{"oauth2", `
		authorize_url = "https://auth.example.com/authorize"
		token_url     = "https://auth.example.com/token"
		client_id     = "postern"
		client_secret = env("SECRET")`, oauth2.Feature},
	{"hmac", `
		secret  = env("SECRET")
		key_id  = "postern"
		message = "${request.method}\n${request.target}\n${timestamp}\n${part.body}"
		header  = { X-Key = "${key_id}", X-Timestamp = "${timestamp}", X-Signature = "${signature}" }
		part "body" {
			message   = request.raw_body
			algorithm = "sha256"
		}`, hmac.Feature},
	{"aws_sigv4", `
		access_key_id     = "AKIDEXAMPLE"
		secret_access_key = env("SECRET")
		region            = "us-east-1"
		service           = "sqs"`, awssigv4.Feature},
	{"http_signature", `
		key    = env("SECRET")
		key_id = "postern"
		alg    = "hmac-sha256"`, httpsignature.Feature},
	{"http_signature of Ed25519", `
		key    = env("ED25519")
		key_id = "postern"
		alg    = "ed25519"`, httpsignature.Feature},
}

const account = "acme"

// A bench is one stage with nothing behind it: the answer of 1 KB is there at once.
type bench struct {
	stage policy.Stage
	rt    http.RoundTripper
	plan  *policy.Plan
	x     *policy.Exchange
	r     *http.Request
	sent  *policy.Body
	page  *strings.Reader
	buf   []byte
}

// newBench compiles a block; an account is connected, and tokens last.
func newBench(tb testing.TB, feature func(*credential.Live) policy.Feature, src string) *bench {
	tb.Helper()
	live := credential.NewLive()
	live.Do = func(credential.Way, *http.Request) (*http.Response, bool, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(`{"access_token":"token-0123456789abcdef","token_type":"Bearer","expires_in":3600}`)),
		}, true, nil
	}
	live.Keeper = newKeeper(tb)
	f, diags := hclsyntax.ParseConfig([]byte(src+"\n"), "x.hcl", hcl.InitialPos)
	blk := feature(live).New()
	if s, ok := blk.(interface{ SetHosts([]policy.Host) }); ok {
		s.SetHosts([]policy.Host{"api.example.com"})
	}
	diags = append(diags, block.Decode(f.Body, block.NewContext("test", block.NewSecrets([]string{"SECRET=secret-0123456789abcdef", "ED25519=-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----", "LONG=eyJ" + strings.Repeat("0123456789abcdef", 128)})), blk)...)
	if diags.HasErrors() {
		tb.Fatal(diags)
	}
	stage, err := blk.Stage(policy.Scope{Provider: "bench"})
	if err != nil {
		tb.Fatal(err)
	}
	if s, ok := stage.Holds.(*connection.Source); ok && s.Person {
		if _, err := live.Keeper.Grant(tb.Context(), s, account, &oauth.Token{Access: "token-0123456789abcdef"}, "test"); err != nil {
			tb.Fatal(err)
		}
	}
	return stand(stage)
}

// stand puts a stage in front of nothing.
func stand(stage policy.Stage) *bench {
	page := strings.Repeat(`{"id":"ch_1A2b","object":"charge","amount":2000,"currency":"eur",`, 16)[:1024]
	s := &bench{
		stage: stage, plan: &policy.Plan{Provider: "bench"}, x: new(policy.Exchange), page: strings.NewReader(page), buf: make([]byte, 4096),
		sent: policy.NewBody(strings.NewReader(page), int64(len(page)), 1<<20),
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"1024"}, "Date": {"Sun, 29 Nov 2026 12:00:00 GMT"}, "Request-Id": {"req_1234567890"},
	}}
	body := io.NopCloser(s.page)
	s.rt = policy.RoundTripper(func(*http.Request) (*http.Response, error) {
		s.page.Reset(page)
		resp.Body = body
		return resp, nil
	})
	if stage.Wrap != nil {
		s.rt = stage.Wrap(s.rt)
	}
	// The proxy listens to what comes before the answer, on behalf of the client.
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil }})
	s.r = (&http.Request{
		Method: http.MethodPost, Host: "api.example.com", URL: &url.URL{Scheme: "https", Host: "api.example.com", Path: "/v1/items"},
		Header: http.Header{"User-Agent": {"x"}, "Accept": {"*/*"}, "Content-Type": {"application/json"}, "Authorization": {"Bearer of the application"}},
	}).WithContext(policy.With(ctx, s.x))
	return s
}

// call is one call of one attempt.
func (s *bench) call(tb testing.TB) {
	*s.x = policy.Exchange{Plan: s.plan, Account: account, Body: s.sent, Request: s.r}
	if s.stage.Answer != nil {
		if resp, err := s.stage.Answer(s.r); resp != nil || err != nil {
			tb.Fatal(resp, err)
		}
	}
	resp, err := s.rt.RoundTrip(s.r)
	for err == nil {
		_, err = resp.Body.Read(s.buf)
	}
	if err != io.EOF {
		tb.Fatal(err)
	}
}

// newKeeper keeps tokens in memory.
func newKeeper(tb testing.TB) *connection.Keeper {
	key, err := seal.Parse(seal.Generate())
	if err != nil {
		tb.Fatal(err)
	}
	ring, err := seal.NewRing(key)
	if err != nil {
		tb.Fatal(err)
	}
	k := connection.NewKeeper(connection.Options{
		Store: store.NewMemory().Connections(), Ring: func() (*seal.Ring, error) { return ring, nil }, Holder: "test",
		Observer: unheard{}, Guard: func(...string) {}, Random: func() float64 { return 0.5 },
	})
	tb.Cleanup(func() { _ = k.Close(context.Background()) })
	return k
}

// unheard is an observer that nobody asks.
type unheard struct{}

func (unheard) Renewed(string, string)                {}
func (unheard) Expires(connection.Key, time.Time)     {}
func (unheard) Moved(connection.Key, connection.Move) {}
func (unheard) Alarm(connection.Key, string)          {}
func (unheard) Trouble(string, error)                 {}

// BenchmarkStage is what each kind of credential costs a call, its token cached,
// beside none: no network, no other stage.
func BenchmarkStage(b *testing.B) {
	run := func(name string, s *bench) {
		b.Run(name, func(b *testing.B) {
			s.call(b)
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				s.call(b)
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
		})
	}
	run("none", stand(policy.Stage{}))
	for _, k := range kinds {
		run(k.name, newBench(b, k.feature, k.src))
	}
}

// TestACachedTokenAllocatesNoMoreThanABearer: what is known of a token beforehand
// is not made for each call, the question whether an SDK asks for one by itself
// included.
func TestACachedTokenAllocatesNoMoreThanABearer(t *testing.T) {
	allocs := map[string]float64{}
	for _, k := range kinds {
		s := newBench(t, k.feature, k.src)
		s.call(t)
		allocs[k.name] = testing.AllocsPerRun(200, func() { s.call(t) })
	}
	for _, name := range []string{"oauth2", "oauth2_client_credentials"} {
		if allocs[name] > allocs["bearer"] {
			t.Errorf("%s: %v allocations a call, bearer: %v", name, allocs[name], allocs["bearer"])
		}
	}
}

// cpu is what the process has used so far.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
