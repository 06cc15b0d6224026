package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestBrowser: it follows redirects and forms, keeps cookies, and another one does not have them.
func TestBrowser(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.SetCookie(w, &http.Cookie{Name: "who", Value: "ada", HttpOnly: true})
			http.Redirect(w, r, "/form", http.StatusFound)
		case "/form":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<form method="post" action="/sent"><input name="word"><button id="go">go</button></form>`)
		case "/sent":
			w.WriteHeader(http.StatusTeapot)
			_, err := r.Cookie("who")
			fmt.Fprintf(w, "%s, known: %t", r.PostFormValue("word"), err == nil)
		}
	}))
	defer srv.Close()
	b := Open(t)
	say := func(b *Browser, from string) string {
		if status := b.Visit(srv.URL + from); status != 200 || b.At() != srv.URL+"/form" {
			t.Fatalf("%d at %s", status, b.At())
		}
		b.Type("input", "hello")
		if status := b.Click("#go"); status != http.StatusTeapot {
			t.Fatalf("after the click: %d at %s", status, b.At())
		}
		return b.Text()
	}
	if got := say(b, "/"); got != "hello, known: true" {
		t.Errorf("%q", got)
	}
	if got := say(b.Another(), "/form"); got != "hello, known: false" {
		t.Errorf("another browser: %q", got)
	}
	if got := say(b, "/form"); got != "hello, known: true" {
		t.Errorf("the first one again: %q", got)
	}
}
