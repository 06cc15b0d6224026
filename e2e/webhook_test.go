package e2e

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
	"github.com/postern-proxy/postern/e2e/receiver"
)

// post is one webhook request as a provider sends it.
type post struct {
	Method  string // POST when empty
	Path    string
	Headers [][2]string // in order, repeated where the case repeats them
	Body    string
	Chunked bool // without a Content-Length
}

func (p post) with(name, value string) post {
	p.Headers = append(append([][2]string{}, p.Headers...), [2]string{name, value})
	return p
}

// without drops every header of that name.
func (p post) without(name string) post {
	var kept [][2]string
	for _, h := range p.Headers {
		if !strings.EqualFold(h[0], name) {
			kept = append(kept, h)
		}
	}
	p.Headers = kept
	return p
}

func (p post) get(name string) string {
	for _, h := range p.Headers {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// set replaces the header in its place.
func (p post) set(name, value string) post {
	out := p
	out.Headers = append([][2]string{}, p.Headers...)
	for i := range out.Headers {
		if strings.EqualFold(out.Headers[i][0], name) {
			out.Headers[i][1] = value
		}
	}
	return out
}

// sender is the providers' side: it knows nothing of proxies.
var sender = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 30 * time.Second}

// send posts to the inbound listener and returns status and body.
func send(addr string, p post) (int, string, error) {
	var body io.Reader = strings.NewReader(p.Body)
	if p.Chunked {
		body = io.MultiReader(body)
	}
	method := p.Method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequest(method, "http://"+addr+p.Path, body)
	if err != nil {
		return 0, "", err
	}
	for _, h := range p.Headers {
		req.Header[http.CanonicalHeaderKey(h[0])] = append(req.Header[http.CanonicalHeaderKey(h[0])], h[1])
	}
	resp, err := sender.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// mustSend fails the test when the answer is not want.
func mustSend(t *testing.T, addr, what string, p post, want int) string {
	t.Helper()
	status, body, err := send(addr, p)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if status != want {
		t.Errorf("%s: %d %q, want %d", what, status, body, want)
	}
	return body
}

// application starts a receiver that ends with the test.
func application(t *testing.T, answer func(receiver.Delivery) int) *receiver.Receiver {
	t.Helper()
	r, err := receiver.Listen(answer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// waitApplied waits until the application has applied n events.
func waitApplied(t *testing.T, app *receiver.Receiver, n int) []receiver.Delivery {
	t.Helper()
	got, err := app.Wait(30*time.Second, func(all []receiver.Delivery) bool {
		events := map[string]bool{}
		for _, d := range all {
			if d.Applied() {
				events[d.Event] = true
			}
		}
		return len(events) >= n
	})
	if err != nil {
		t.Errorf("waiting for %d applied events: %v", n, err)
	}
	return got
}

// vendors signs with the vendors' own code, in one Node process.
type vendors struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

type signJob struct {
	Vendor    string `json:"vendor"`
	Secret    string `json:"secret"`
	ID        string `json:"id,omitempty"`
	Payload   string `json:"payload"`
	Timestamp int64  `json:"timestamp,omitempty"` // seconds; 0 is now
	URL       string `json:"url,omitempty"`       // where the provider posts to, for those that sign it
}

func startVendors(t *testing.T) *vendors {
	t.Helper()
	dir := harness.NeedNode(t, "svix", "twilio")
	cmd := exec.Command("node", "sign.mjs")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &vendors{in: in, out: bufio.NewReader(out)}
}

// sign returns the request that the vendor's SDK would make of the job.
func (v *vendors) sign(t *testing.T, path string, job signJob) post {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	line, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(v.in, "%s\n", line)
	answer, err := v.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the signer ended: %v", err)
	}
	var signed struct {
		Headers map[string]string
		Payload string
	}
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&signed); err != nil {
		t.Fatal(err)
	}
	p := post{Path: path, Body: signed.Payload}.with("Content-Type", "application/json")
	for name, value := range signed.Headers {
		p = p.without(name).with(name, value)
	}
	return p
}

func mac(secret, message string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(message))
	return h.Sum(nil)
}

// signSlack is Slack's scheme, https://docs.slack.dev/authentication/verifying-requests-from-slack/.
func signSlack(path, secret, body string, at time.Time) post {
	ts := fmt.Sprint(at.Unix())
	return post{Path: path, Body: body}.with("Content-Type", "application/json").with("X-Slack-Request-Timestamp", ts).
		with("X-Slack-Signature", "v0="+hex.EncodeToString(mac(secret, "v0:"+ts+":"+body)))
}

// signStripe is Stripe's scheme, https://docs.stripe.com/webhooks#verify-manually, for the tests that sign by the
// thousand; the scheme itself is tested with Stripe's own code.
func signStripe(path, secret, body string, at time.Time) post {
	ts := fmt.Sprint(at.Unix())
	return post{Path: path, Body: body}.with("Content-Type", "application/json").
		with("Stripe-Signature", "t="+ts+",v1="+hex.EncodeToString(mac(secret, ts+"."+body)))
}

// signStandard is the symmetric scheme of https://github.com/standard-webhooks/standard-webhooks.
func signStandard(path, secret, id, ts, body string) post {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	return post{Path: path, Body: body}.with("Content-Type", "application/json").with("webhook-id", id).with("webhook-timestamp", ts).
		with("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac(string(key), id+"."+ts+"."+body)))
}

// signGitHub is GitHub's scheme.
func signGitHub(path, secret, id, body string) post {
	return post{Path: path, Body: body}.with("Content-Type", "application/json").with("X-GitHub-Delivery", id).
		with("X-GitHub-Event", "issues").with("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac(secret, body)))
}
