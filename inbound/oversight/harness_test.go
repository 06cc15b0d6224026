package oversight_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/oversight"
	"github.com/postern-proxy/postern/inbound/scheme/none"
	"github.com/postern-proxy/postern/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a runner over a store in memory, with a provider that answers by a
// function.
type place struct {
	*oversight.Runner
	t     *testing.T
	inbox *inbound.Inbox
	db    *store.Memory
	stop  func()

	mu        sync.Mutex
	answer    func(r *http.Request, body string) (int, string)
	byAccount func(account string, r *http.Request, body string) (int, string) // in place of answer
	asked     []string                                                         // method, path with query, account, body
	reports   []oversight.Report
	silences  []string
	health    []string
	troubles  []string
	named     [2]int
	accounts  []string
	hanging   map[string]chan struct{} // providers that do not answer until it is closed
	over      func(oversight.Store) oversight.Store
	source    string // of what is answered; "" is the provider
}

func set(t *testing.T, src string) *inbound.Set {
	t.Helper()
	s, diags := load(src)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return s
}

func load(src string) (*inbound.Set, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig([]byte(src), "policy.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	ctx := block.NewContext("test", block.NewSecrets(nil))
	ctx.Sources["policy.hcl"] = []byte(src)
	var hooks []*inbound.Webhook
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		w, d := inbound.Decode(b.Labels[0], b.DefRange(), b.Body, ctx, inbound.Schemes{"none": none.Scheme})
		hooks, diags = append(hooks, w), append(diags, d...)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return inbound.NewSet(inbound.Config{}, hooks)
}

// hook is a webhook with these blocks.
func hook(blocks string) string {
	return `webhook "hook" {
  path     = "/hook"
  provider = "acme"
  headers  = ["X-Kind"]
  verify "none" {}
  event {
    id      = body.id
    type    = body.type
    account = body.account
    time    = body.at
    unit    = "rfc3339"
  }
  deliver { to = "http://127.0.0.1:1/" }
` + blocks + "\n}\n"
}

func open(t *testing.T, src string, answer func(r *http.Request, body string) (int, string)) *place {
	t.Helper()
	p := closed(t, src, answer)
	p.start()
	return p
}

// closed is a place that has not begun.
func closed(t *testing.T, src string, answer func(r *http.Request, body string) (int, string)) *place {
	t.Helper()
	p := &place{t: t, db: store.NewMemory(), answer: answer, over: func(s oversight.Store) oversight.Store { return s }}
	p.inbox = inbound.New(inbound.Options{
		Store: p.db.Inbox(), Poll: time.Hour, Late: func(ctx context.Context, id string) error { return p.Late(ctx, id) },
		Woken: func(ctx context.Context, hook *inbound.Webhook, account string) error {
			return p.Woken(ctx, hook, account)
		},
	})
	p.inbox.Swap(set(t, src))
	return p
}

// start begins anew on what is stored, as a process that is started does.
func (p *place) start() {
	p.Runner = oversight.New(oversight.Options{
		Inbox: p.inbox, Store: p.over(p.db.Oversight()), Egress: p.egress,
		Accounts: func(context.Context, string) ([]string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return slices.Clone(p.accounts), nil
		},
		Observer: oversight.Observer{
			Named:  func(_ string, e, b int) { p.mu.Lock(); p.named[0] += e; p.named[1] += b; p.mu.Unlock() },
			Swept:  func(r *oversight.Report) { p.mu.Lock(); p.reports = append(p.reports, *r); p.mu.Unlock() },
			Silent: func(s oversight.Silence, over bool) { p.note(&p.silences, fmt.Sprint(s.Limit, " over ", over)) },
			Subscribed: func(s oversight.Subscription, before oversight.Health) {
				p.note(&p.health, strings.TrimSpace(fmt.Sprint(before, " ", s.Health)))
			},
			Trouble: func(doing string, err error) { p.note(&p.troubles, doing+": "+err.Error()) },
		},
	})
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	run := p.Runner
	go func() { defer close(done); run.Run(ctx) }()
	p.stop = sync.OnceFunc(func() { cancel(); <-done })
}

func (p *place) note(into *[]string, s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*into = append(*into, s)
}

func (p *place) egress(provider, account string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		body := ""
		if r.Body != nil {
			text, _ := io.ReadAll(r.Body)
			body = string(text)
		}
		p.mu.Lock()
		p.asked = append(p.asked, strings.TrimSpace(strings.Join([]string{r.Method, r.URL.String(), account, body}, " ")))
		answer, each, hang, source := p.answer, p.byAccount, p.hanging[provider], cmp.Or(p.source, "provider")
		p.mu.Unlock()
		if hang != nil {
			<-hang
		}
		if each != nil {
			answer = func(r *http.Request, body string) (int, string) { return each(account, r, body) }
		}
		status, text := answer(r, body)
		h := http.Header{"Content-Type": {"application/json"}, "Postern-Source": {source}, "Postern-Outcome": {"ok"}}
		if status == 0 {
			return nil, fmt.Errorf("no connection to %s", provider)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(text))}, nil
	}
}

// answers changes what the provider says.
func (p *place) answers(answer func(r *http.Request, body string) (int, string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.asked = answer, nil
}

// quiet forgets what was asked so far.
func (p *place) quiet() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = nil
}

// push receives a webhook.
func (p *place) push(body string) {
	p.t.Helper()
	if status := p.send(body); status != http.StatusOK {
		p.t.Fatalf("push: %d", status)
	}
}

// send posts a webhook and returns what the sender is answered.
func (p *place) send(body string) int { return p.sendTo("/hook", body) }

func (p *place) sendTo(path, body string) int {
	w := &recorder{header: http.Header{}}
	r, _ := http.NewRequestWithContext(p.t.Context(), http.MethodPost, path, strings.NewReader(body))
	p.inbox.ServeHTTP(w, r)
	return w.status
}

type recorder struct {
	header http.Header
	status int
	text   string
}

func (r *recorder) Header() http.Header  { return r.header }
func (r *recorder) WriteHeader(code int) { r.status = code }
func (r *recorder) Write(b []byte) (int, error) {
	r.text += string(b)
	return len(b), nil
}

func (p *place) tally() oversight.Tally {
	p.t.Helper()
	all, err := p.db.Oversight().Tally(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return all["hook"]
}

// stored lists the bodies, the oldest first.
func (p *place) stored() (bodies []string) {
	page, err := p.db.Inbox().List(p.t.Context(), inbound.Filter{Limit: inbound.MaxPage})
	if err != nil {
		p.t.Fatal(err)
	}
	for i := len(page.Events) - 1; i >= 0; i-- {
		e, err := p.db.Inbox().Body(p.t.Context(), page.Events[i].ID)
		if err != nil {
			p.t.Fatal(err)
		}
		bodies = append(bodies, string(e.Body))
	}
	return bodies
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, do)
}

// item is an event that happened at a time.
func item(id string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q, "type":"thing.updated","at":%q}`, id, at.UTC().Format(time.RFC3339Nano))
}

func page(more string, items ...string) string {
	next, _ := json.Marshal(more)
	if more == "" {
		next = []byte("null")
	}
	return fmt.Sprintf(`{"data":[%s],"next":%s}`, strings.Join(items, ","), next)
}

// pause lets time pass, and all that is due then be done.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// seen is what p has noted so far.
func seen[T any](p *place, list *[]T) []T {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(*list)
}

// numbers are how many events p was told of, and how many of them were fetched.
func numbers(p *place) [2]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.named
}
