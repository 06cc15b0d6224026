package inbound

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/queue"
)

// crashes is how often an attempt may end without a word, because the process
// died under it, before the delivery is given up.
const crashes = 3

// transport calls applications: no proxy from the environment, no redirects
// (only RoundTrip is used), no decompression.
func transport(dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
	}
}

// attempt delivers once and makes the move that follows.
func (in *Inbox) attempt(ctx context.Context, it queue.Item[Delivery]) queue.Health {
	d := &it.Work
	t, ok := in.set.Load().targets[it.Target]
	if !ok { // the policy changed since the claim
		if err := in.opt.Store.Release(context.WithoutCancel(ctx), []queue.Lease{it.Lease}); err != nil {
			in.opt.Observer.trouble("giving back a delivery", err)
		}
		return queue.Well
	}
	in.tell(d, d.From, Processing, &Move{Attempt: d.Attempt})

	var m Move
	health := queue.Well
	if d.Attempt > t.hook.Retry.Attempts+crashes {
		m = Move{To: Failed, Attempt: d.Attempt, Reason: fmt.Sprintf("given up: %d attempts ended without a result", crashes)}
	} else {
		o := in.call(ctx, d, t)
		if errors.Is(context.Cause(ctx), queue.ErrStale) {
			return queue.Well // somebody else decides
		}
		o.interrupted = o.err != nil && errors.Is(context.Cause(ctx), queue.ErrDrain)
		m = judge(d, o, t.deliver, t.hook.Retry, time.Now(), in.opt.Random)
		health = queue.Health(o.health())
		in.opt.Observer.attempt(&Attempt{
			Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, EventID: d.Event.EventID, Type: d.Event.Type,
			Account: d.Event.Account, Attempt: d.Attempt, Result: m.To, Status: m.Status, Took: m.Took, Reason: m.Reason,
		})
	}
	if in.finish(ctx, it.Lease, m) {
		in.tell(d, Processing, m.To, &m)
	}
	return health
}

// finish makes the move, patiently: while the store cannot take it, the lease is
// held and nobody calls the application again.
func (in *Inbox) finish(ctx context.Context, lease queue.Lease, m Move) bool {
	for {
		err := in.opt.Store.Finish(context.WithoutCancel(ctx), lease, m)
		if err == nil {
			return true
		}
		if errors.Is(err, queue.ErrStale) {
			return false
		}
		in.opt.Observer.trouble("recording a delivery", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

func (in *Inbox) tell(d *Delivery, from, to State, m *Move) {
	in.opt.Observer.moved(Transition{
		Event: d.Event.ID, Webhook: d.Event.Webhook, Target: d.Target, Received: d.Event.Received, At: time.Now(),
		From: from, To: to, Attempt: m.Attempt, Status: m.Status, Took: m.Took, Reason: m.Reason,
	})
}

// maxDetail is how much of the application's answer the trail keeps, maxAnswer
// how much is read so that the connection can be used again.
const (
	maxDetail = 256
	maxAnswer = 64 << 10
)

// call posts the event to the application once.
func (in *Inbox) call(ctx context.Context, d *Delivery, t target) (o outcome) {
	start := time.Now()
	defer func() { o.took = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, t.deliver.Timeout.Duration)
	defer cancel()
	req, err := request(ctx, d, t, start)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := in.client.RoundTrip(req)
	if err != nil {
		return outcome{err: reason(err, t.deliver.Timeout.Duration)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil { // an answer that breaks off is none
		return outcome{err: reason(err, t.deliver.Timeout.Duration)}
	}
	return outcome{status: resp.StatusCode, header: resp.Header, detail: strings.ToValidUTF8(string(text[:min(len(text), maxDetail)]), "�")}
}

// reason says why there was no answer, without the URL.
func reason(err error, timeout time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the application did not answer within %v", timeout)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// opaque hides what kind of reader a body is, so that the transport can never
// send it a second time by itself.
type opaque struct{ io.Reader }

func (opaque) Close() error { return nil }

func request(ctx context.Context, d *Delivery, t target, now time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.deliver.To, nil)
	if err != nil {
		return nil, errors.New("the address of the application is not usable")
	}
	e := &d.Event
	req.Body, req.ContentLength = opaque{bytes.NewReader(e.Body)}, int64(len(e.Body))
	maps.Copy(req.Header, e.Header)
	for name, value := range map[string]string{
		"Postern-Id": e.ID, "Postern-Event-Id": e.ID, "Postern-Provider-Event-Id": e.EventID, "Postern-Webhook": e.Webhook,
		"Postern-Account": e.Account, "Postern-Type": e.Type, "Postern-Attempt": strconv.Itoa(d.Attempt), "Postern-Origin": string(d.Origin),
	} {
		if value != "" {
			req.Header.Set(name, printable(value))
		}
	}
	req.Header["User-Agent"] = []string{"Postern"}
	if t.deliver.Sign.IsZero() {
		return req, nil
	}
	key, err := signingKey(t.deliver.Sign)
	if err != nil {
		return nil, fmt.Errorf("sign the delivery: %w", err)
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", e.ID, stamp)
	mac.Write(e.Body)
	req.Header.Set("Webhook-Id", e.ID)
	req.Header.Set("Webhook-Timestamp", stamp)
	req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return req, nil
}

// minSigningKey is the least that Standard Webhooks allows for a key, in bytes.
const minSigningKey = 24

// signingKey is the key of a Standard Webhooks secret: what follows whsec_ in
// Base64, or the value itself if it has no such prefix.
func signingKey(s block.Secret) ([]byte, error) {
	v, err := s.Reveal()
	if err != nil {
		return nil, err
	}
	key := []byte(v)
	if coded, ok := strings.CutPrefix(v, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, fmt.Errorf("%v is not Base64 after whsec_", s)
		}
	}
	if len(key) < minSigningKey {
		return nil, fmt.Errorf("%v has %d bytes, and at least %d are needed", s, len(key), minSigningKey)
	}
	return key, nil
}

// printable makes any text fit for a header field: bytes that are not printable
// ASCII, and the percent sign, are percent-encoded.
func printable(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
