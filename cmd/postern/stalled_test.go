package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestP20StalledBody: an application that waits for an answer before it sends the
// rest of its body gets the provider's early refusal within the time of the call,
// although that would be sent again, or kept.
func TestP20StalledBody(t *testing.T) {
	for _, also := range []string{"", "deadletter {}"} {
		t.Run(also, func(t *testing.T) { stalledBody(t, also) })
	}
}

func stalledBody(t *testing.T, also string) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(429)
		http.NewResponseController(w).Flush()
	}))
	defer up.Close()
	g, _ := startGate(t, map[string]string{"p.hcl": fmt.Sprintf("provider \"p\" {\nhosts = [\"p.example\"]\nupstream = %q\ntimeout { total = \"3s\" }\n%s\n}", up.URL, also)})
	c, err := net.Dial("tcp", g.proxy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(40 * time.Second))
	fmt.Fprint(c, "POST http://p.example/x HTTP/1.1\r\nHost: p.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	start := time.Now()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err, time.Since(start))
	}
	if resp.StatusCode != 429 || time.Since(start) > 12*time.Second {
		t.Errorf("%d %v after %v", resp.StatusCode, resp.Header, time.Since(start))
	}
}
