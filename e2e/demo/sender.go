package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// sender is Stripe's side: it sends an event again until it is acknowledged.
type sender struct {
	gate *gate
	mu   sync.Mutex
	ack  map[int]bool // events, by ordinal
	lost int          // posts without a 200
}

// event is the body of the nth event.
func event(n int) string {
	return fmt.Sprintf(`{"id":%q,"object":"event","type":"charge.succeeded","created":1795478400,"livemode":false,"data":{"object":{"id":"ch_demo_%02d","object":"charge","amount":%d}}}`, eventID(n), n, 100*n)
}

func eventID(n int) string { return fmt.Sprintf("evt_demo_%02d", n) }

// sign is the Stripe-Signature of a body (docs.stripe.com/webhooks#verify-manually).
func sign(secret, body string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

// post sends one webhook and returns the status, 0 for no answer.
func (p *sender) post(ctx context.Context, body, signature string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.gate.inbound+"/stripe", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	if signature != "" {
		req.Header.Set("Stripe-Signature", signature)
	}
	resp, err := direct.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// once sends the nth event once, signed now.
func (p *sender) once(ctx context.Context, n int) int {
	body := event(n)
	return p.post(ctx, body, sign(p.gate.stripeHook, body, time.Now()))
}

// send sends events, one at each pace and four at a time, until each is acknowledged.
func (p *sender) send(ctx context.Context, first, last int, pace time.Duration) {
	todo := make(chan int)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for n := range todo {
				p.insist(ctx, n)
			}
		})
	}
	for n := first; n <= last; n++ {
		todo <- n
		time.Sleep(pace)
	}
	close(todo)
	workers.Wait()
}

func (p *sender) insist(ctx context.Context, n int) {
	for ctx.Err() == nil {
		status := p.once(ctx, n)
		p.mu.Lock()
		if status == http.StatusOK {
			p.ack[n] = true
		} else {
			p.lost++
		}
		p.mu.Unlock()
		if status == http.StatusOK {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// acknowledged counts the events that were.
func (p *sender) acknowledged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ack)
}

// refusal is a request that must not come in.
type refusal struct {
	what   string
	status int
}

// bad sends what is not Stripe's, or not any more.
func (p *sender) bad(ctx context.Context) (list []refusal) {
	body := strings.Replace(event(99), "evt_demo_99", "evt_forged", 1)
	now := time.Now()
	for _, r := range []struct{ what, signature string }{
		{"unsigned", ""},
		{"forged: signed with another secret", sign("whsec_not-the-secret-at-all", body, now)},
		{"altered after it was signed", sign(p.gate.stripeHook, event(99), now)},
		{"stale: signed ten minutes ago", sign(p.gate.stripeHook, body, now.Add(-10*time.Minute))},
	} {
		list = append(list, refusal{r.what, p.post(ctx, body, r.signature)})
	}
	return list
}
