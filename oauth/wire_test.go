package oauth

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A wire is a server in memory: it records what it is sent, and answers what it
// was told.
type wire struct {
	status int // 0 is 200
	kind   string
	header map[string]string
	body   string

	sent []*http.Request
	got  []string // bodies
}

func (w *wire) do(r *http.Request) (*http.Response, bool, error) {
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, false, err
		}
		body = string(b)
	}
	w.sent, w.got = append(w.sent, r), append(w.got, body)
	resp := &http.Response{StatusCode: w.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(w.body))}
	if resp.StatusCode == 0 {
		resp.StatusCode = http.StatusOK
	}
	kind := w.kind
	if kind == "" {
		kind = "application/json"
	}
	resp.Header.Set("Content-Type", kind)
	for name, value := range w.header {
		resp.Header.Set(name, value)
	}
	return resp, true, nil
}

// form is the only request's body as a form.
func (w *wire) form(t *testing.T) url.Values {
	t.Helper()
	if len(w.got) != 1 {
		t.Fatalf("%d requests were sent, not 1", len(w.got))
	}
	if got := w.sent[0].Header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
		t.Errorf("Content-Type %q", got)
	}
	q, err := url.ParseQuery(w.got[0])
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// want compares a form with pairs of name and value, all of them.
func want(t *testing.T, form url.Values, pairs ...string) {
	t.Helper()
	expected := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		expected.Set(pairs[i], pairs[i+1])
	}
	if form.Encode() != expected.Encode() {
		t.Errorf("sent %s\nwant %s", form.Encode(), expected.Encode())
	}
}

const good = `{"access_token":"at-1","token_type":"Bearer","expires_in":3600}`

func server() *Server { return &Server{TokenURL: "https://as.example/token"} }

var client = &Client{ID: "s6BhdRkqt3", Secret: "7Fjfp0ZBr1KtDRbnfVdmIw"} // of RFC 6749
