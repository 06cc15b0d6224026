package admin

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealth(t *testing.T) {
	l := serve(t, `admin {}`)
	l.checks["store"] = errDown
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/livez":            {200, "ok\n"},
		"/readyz":           {503, "not ready\n"},
		"/readyz?verbose":   {503, "[+] config\n[-] store: disk /var/lib is full\nnot ready\n"},
		"/readyz?verbose=1": {503, "[+] config\n[-] store: disk /var/lib is full\nnot ready\n"},
		"/startupz":         {503, "starting\n"},
	} {
		a := l.ask("GET", path, "")
		if a.StatusCode != want.status || a.body != want.body || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q, want %d %q", path, a.StatusCode, a.body, want.status, want.body)
		}
	}
	l.checks["store"] = nil
	if a := l.ask("GET", "/readyz?verbose", ""); a.StatusCode != 200 || a.body != "[+] config\n[+] store\nready\n" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	l.checks["store"] = errDown
	if a := l.ask("GET", "/startupz", ""); a.StatusCode != 200 || a.body != "started\n" {
		t.Errorf("started once is started: %d %q", a.StatusCode, a.body)
	}
	l.checks["store"] = nil
	l.Drain()
	if a := l.ask("GET", "/readyz?verbose", ""); a.StatusCode != 503 || !strings.Contains(a.body, "[-] shutdown") {
		t.Errorf("draining: %d %q", a.StatusCode, a.body)
	}
	if a := l.ask("GET", "/livez", ""); a.StatusCode != 200 {
		t.Errorf("draining is no reason to be killed: %d", a.StatusCode)
	}
}

func TestHealthTellsReasonsToWhomItKnows(t *testing.T) {
	l := serve(t, guarded, "ADMIN_TOKEN="+token)
	l.checks["store"] = errDown
	if a := l.ask("GET", "/readyz?verbose", ""); a.StatusCode != 503 || !strings.Contains(a.body, "[-] store\n") || strings.Contains(a.body, "disk") {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	if a := l.ask("GET", "/readyz?verbose", "", withToken(token)); !strings.Contains(a.body, "[-] store: disk /var/lib is full\n") {
		t.Errorf("with the token: %q", a.body)
	}
}

func TestHealthChecksEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := New(mustDecode(t, `admin {}`), Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Checks: []Check{
			{Name: "stuck", Run: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }},
			{Name: "after it", Run: func(ctx context.Context) error { return nil }},
		}})
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/readyz?verbose", nil)
		s.ServeHTTP(w, r)
		if w.Code != 503 || time.Since(start) != checkWithin || !strings.Contains(w.Body.String(), "[+] after it") {
			t.Errorf("%d after %v: %s", w.Code, time.Since(start), w.Body)
		}
		if !strings.Contains(w.Body.String(), "deadline") {
			t.Errorf("no reason: %s", w.Body)
		}
	})
}

// TestHealthInforms: what is only to be known is shown, and the process stays in
// service.
func TestHealthInforms(t *testing.T) {
	down := errDown
	s := New(mustDecode(t, guarded, "ADMIN_TOKEN="+token), Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Checks: []Check{
		{Name: "store", Run: func(context.Context) error { return nil }},
		{Name: "limits", Run: func(context.Context) error { return down }, Informs: true},
	}})
	ask := func(tok string) string {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "http://localhost/readyz?verbose", nil)
		if tok != "" {
			r.Header.Set("Authorization", "Bearer "+tok)
		}
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
		return w.Body.String()
	}
	if got := ask(token); got != "[+] store\n[!] limits: disk /var/lib is full\nready\n" {
		t.Errorf("%q", got)
	}
	if got := ask(""); got != "[+] store\n[!] limits\nready\n" {
		t.Errorf("%q", got)
	}
	down = nil
	if got := ask(""); got != "[+] store\n[+] limits\nready\n" {
		t.Errorf("%q", got)
	}
}

// TestHealthForKubelet: it calls the pod by its address and has no token; the
// metrics want one.
func TestHealthForKubelet(t *testing.T) {
	l := serve(t, "admin {\n listen = \"0.0.0.0:8082\"\n token = env(\"ADMIN_TOKEN\")\n}", "ADMIN_TOKEN="+token)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/startupz": 200, "/metrics": 401} {
		if a := l.ask("GET", path, "", withHost("10.42.0.7:8082")); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, want)
		}
	}
	if a := l.ask("GET", "/metrics", "", withHost("10.42.0.7:8082"), withToken(token)); a.StatusCode != 200 {
		t.Errorf("with the token: %d", a.StatusCode)
	}
}

// TestWhatFailsAtTheEnd: the store is closed before the last request is heard, which is
// no failure of ours: whoever asks is told to ask again.
func TestWhatFailsAtTheEnd(t *testing.T) {
	l := serve(t, `admin {}`)
	l.link = errDown
	ask := func() answer { return l.ask("POST", "/api/v1/connect-sessions", `{"provider":"acme"}`) }
	isProblem(t, "while it serves", ask(), 500)
	l.Drain()
	a := ask()
	isProblem(t, "while it drains", a, 503)
	if !strings.Contains(a.body, "this process is ending") || strings.Contains(a.body, errDown.Error()) {
		t.Errorf("%s", a.body)
	}
}
