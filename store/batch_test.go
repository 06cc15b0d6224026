package store

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	schemehmac "github.com/postern-proxy/postern/inbound/scheme/hmac"
	"github.com/postern-proxy/postern/store/storetest"
)

// BenchmarkCommit compares commits of what waits with one commit for each event,
// at 64 senders.
func BenchmarkCommit(b *testing.B) {
	for name, size := range map[string]int{"grouped": maxBatch, "one by one": 1} {
		b.Run(name, func(b *testing.B) {
			s, err := openSQLite(b.Context(), filepath.Join(b.TempDir(), "postern.db"), Options{}, size)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			rate := ingest(b, s.Inbox(), b.N)
			b.ReportMetric(rate, "events/s")
		})
	}
}

// BenchmarkAcknowledge is the same through the listener: 64 connections, signed
// as GitHub signs, answered when the event is on disk.
func BenchmarkAcknowledge(b *testing.B) {
	for name, size := range map[string]int{"grouped": maxBatch, "one by one": 1} {
		b.Run(name, func(b *testing.B) {
			s, err := openSQLite(b.Context(), filepath.Join(b.TempDir(), "postern.db"), Options{}, size)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			in := inbound.New(inbound.Options{Store: s.Inbox()})
			in.Swap(githubSet(b))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := in.Server()
			go srv.Serve(l)
			defer srv.Close()
			b.ReportMetric(acknowledge(b, l.Addr().String(), b.N), "events/s")
		})
	}
}

const benchKey = "a secret of some length"

func githubSet(b *testing.B) *inbound.Set {
	file, diags := hclsyntax.ParseConfig([]byte("path = \"/hook\"\nverify \"hmac\" {\nheader = \"X-Hub-Signature-256\"\nprefix = \"sha256=\"\nsecrets = [env(\"KEY\")]\n}\nevent {\nid = body.id\ntype = header[\"X-GitHub-Event\"]\n}\ndeliver {\nto = \"http://127.0.0.1:1/\"\n}\n"), "bench.hcl", hcl.InitialPos)
	ctx := block.NewContext("test", block.NewSecrets([]string{"KEY=" + benchKey}))
	w, d := inbound.Decode("hook", hcl.Range{}, file.Body.(*hclsyntax.Body), ctx, inbound.Schemes{"hmac": schemehmac.Scheme})
	set, e := inbound.NewSet(inbound.Config{}, []*inbound.Webhook{w})
	if diags = append(append(diags, d...), e...); diags.HasErrors() {
		b.Fatal(diags)
	}
	return set
}

// acknowledge posts n events over 64 connections, with as little work of its own
// as possible, and returns acknowledged events per second.
func acknowledge(b *testing.B, addr string, n int) float64 {
	requests := make([][]byte, n)
	pad := strings.Repeat("x", 1300)
	for i := range requests {
		body := fmt.Sprintf(`{"id":"evt_%d","pad":%q}`, i, pad)
		mac := hmac.New(sha256.New, []byte(benchKey))
		mac.Write([]byte(body))
		requests[i] = fmt.Appendf(nil, "POST /hook HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: sha256=%x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", mac.Sum(nil), len(body), body)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for range 64 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if _, err := c.Write(requests[i]); err != nil {
					b.Error(err)
					return
				}
				for line := "-"; line != "\r\n"; {
					first := line == "-"
					if line, err = r.ReadString('\n'); err != nil || first && !strings.Contains(line, " 200 ") {
						b.Errorf("%q, %v", line, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// ingest inserts n events from 64 senders and returns events per second.
func ingest(t testing.TB, box inbound.Store, n int) float64 {
	body := []byte(strings.Repeat("x", 1300))
	events := make(chan int)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for i := range events {
				e := &inbound.Event{ID: fmt.Sprintf("id-%d", i), Webhook: "hook", EventID: fmt.Sprintf("evt-%d", i), Received: time.Now(), Body: body, Size: len(body)}
				if _, _, err := storetest.Insert(context.Background(), box, e, "hook"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	start := time.Now()
	for i := range n {
		events <- i
	}
	close(events)
	wg.Wait()
	return float64(n) / time.Since(start).Seconds()
}

// TestC42NotDurable: a connection whose commits may be lost is not written to.
func TestC42NotDurable(t *testing.T) {
	for _, tt := range []struct {
		journal, synchronous string
		ok                   bool
	}{{"WAL", "FULL", true}, {"WAL", "NORMAL", false}, {"WAL", "OFF", false}, {"DELETE", "FULL", false}} {
		db, err := connect("sqlite", filepath.Join(t.TempDir(), "x.db"), "journal_mode("+tt.journal+")", "synchronous("+tt.synchronous+")")
		if err != nil {
			t.Fatal(err)
		}
		if err := checkDurable(t.Context(), db); (err == nil) != tt.ok {
			t.Errorf("%s, %s: %v", tt.journal, tt.synchronous, err)
		}
		db.Close()
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		v     string
		older bool
	}{{"3.51.3", false}, {"3.51.2", true}, {"3.9.99", true}, {"3.54", false}, {"3.51", true}, {"4.0.0", false}} {
		if got := olderThan(tt.v, minSQLite); got != tt.older {
			t.Errorf("%s older than %s: %v", tt.v, minSQLite, got)
		}
	}
}
