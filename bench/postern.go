package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const noBinary = "n/a: binary not given"

// startPostern gives four peers of one process: the proxy, the inbox receiving only, the inbox delivering too, and the same event again and again.
func startPostern(ctx context.Context, set settings, f *field, upstream string) ([]*peer, error) {
	if leftOut(set, "postern") {
		return nil, nil
	}
	out := &peer{name: "postern", side: "outbound", policed: true, about: "full policy: bearer, version, idempotency, limit, retry"}
	held := &peer{name: "postern", side: "inbound", path: "/held", only: "inbound", about: "acknowledging; the application holds its one delivery"}
	now := &peer{name: "postern+deliver", side: "inbound", path: "/now", about: "acknowledging while the application takes every event"}
	storm := &peer{name: "postern", side: "storm", path: "/storm", about: "one event, stored once, and duplicates of it"}
	all := []*peer{out, held, now, storm}
	if set.Postern == "" {
		for _, p := range all {
			p.missing = noBinary
		}
		return all, nil
	}
	at, c, err := startProcess(ctx, set, f, "postern", upstream, bearerBlock)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		p.serves(at, c)
		p.inbox = at.inbound
	}
	held.stored, now.stored = accepted(at.admin, "held"), accepted(at.admin, "now")
	storm.stored = onceOnly(at.admin, storm)
	now.settle = func(ctx context.Context, n int) error { return delivered(ctx, f.control, n) }
	out.door, err = at.door()
	return all, err
}

// startProcess starts Postern with the full policy and one credential, and waits until it is ready. Its listeners are
// chosen before it has them: where somebody was faster, it is started again with others.
func startProcess(ctx context.Context, set settings, f *field, name, upstream, credential string) (at place, c *child, err error) {
	binary, err := filepath.Abs(set.Postern)
	if err != nil {
		return at, nil, err
	}
	for range 5 {
		if at, err = posternFolder(f, set, upstream, name, credential); err != nil {
			return at, nil, err
		}
		cmd := exec.Command(binary, append([]string{"run", "-c", at.dir}, words(set.PosternArgs, " ")...)...)
		cmd.Dir = at.dir
		c, err = startChild(cmd, f.dir, name, append([]string{
			"SSL_CERT_FILE=" + f.certs.file("ca.pem"), "BENCH_TOKEN=" + bearer, "BENCH_SECRET=" + secret, "BENCH_KEY=" + keyPEM(), "BENCH_WEBHOOK_SECRET=" + webhookSecret,
		}, words(set.PosternEnv, ",")...))
		if err != nil {
			return at, nil, err
		}
		err = until(ctx, 30*time.Second, &peer{name: name, child: c}, func() error {
			_, err := fetch(ctx, "http://"+at.admin+"/readyz")
			return err
		})
		if err == nil {
			return at, c, nil
		}
		c.stop()
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
		_ = os.RemoveAll(at.dir)
	}
	return at, nil, err
}

// serves makes a process the one that does the peer's work.
func (p *peer) serves(at place, c *child) {
	p.child, p.profile = c, profileURL(at.admin)
	p.heap = func(ctx context.Context) (heap, error) { return metricHeap(ctx, at.admin) }
}

// door is the way through the proxy.
func (at place) door() (door, error) {
	pool, err := trust(filepath.Join(at.dir, "trust", "ca.pem"))
	return door{addr: at.proxy, connect: true, tls: clientTLS(pool)}, err
}

func metricHeap(ctx context.Context, admin string) (heap, error) {
	text, err := fetch(ctx, "http://"+admin+"/metrics")
	if err != nil {
		return heap{}, err
	}
	mallocs, ok := metric(string(text), "go_memstats_mallocs_total")
	if !ok {
		return heap{}, fmt.Errorf("no go_memstats_mallocs_total in /metrics")
	}
	bytes, _ := metric(string(text), "go_memstats_alloc_bytes_total")
	return heap{Mallocs: mallocs, Bytes: bytes}, nil
}

// accepted reads how many events of a webhook were stored.
func accepted(admin, webhook string) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		text, err := fetch(ctx, "http://"+admin+"/metrics")
		if err != nil {
			return 0, err
		}
		n, ok := metric(string(text), "postern_inbox_requests_total", `webhook="`+webhook+`"`, `result="accepted"`)
		if !ok {
			return 0, fmt.Errorf("no postern_inbox_requests_total in /metrics")
		}
		return int(n), nil
	}
}

// onceOnly is how many answers a storm of one event got, if one of them was for
// an event that was stored and all others for its duplicates. An answer is counted
// when it is out.
func onceOnly(admin string, p *peer) func(context.Context) (int, error) {
	return func(ctx context.Context) (n int, err error) {
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			text, err := fetch(ctx, "http://"+admin+"/metrics")
			if err != nil {
				return 0, err
			}
			stored, _ := metric(string(text), "postern_inbox_requests_total", `webhook="storm"`, `result="accepted"`)
			again, _ := metric(string(text), "postern_inbox_requests_total", `webhook="storm"`, `result="duplicate"`)
			if stored != 1 && p.calls > 0 {
				return 0, fmt.Errorf("one event was stored %v times", stored)
			}
			if n = int(stored + again); n >= p.calls || time.Now().After(deadline) {
				return n, nil
			}
		}
	}
}

// metric finds one sample of the Prometheus text format by its name and labels.
func metric(text, name string, labels ...string) (float64, bool) {
next:
	for line := range strings.Lines(text) {
		sample, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if at := strings.LastIndexByte(line, '}'); at >= 0 {
			sample, value = line[:at+1], strings.TrimSpace(line[at+1:])
		} else if !ok {
			continue
		}
		if found, _, _ := strings.Cut(sample, "{"); found != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(sample, label) {
				continue next
			}
		}
		n, err := strconv.ParseFloat(value, 64)
		return n, err == nil
	}
	return 0, false
}

// delivered waits until the application has taken n events.
func delivered(ctx context.Context, control string, n int) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var s seen
		if err := fetchJSON(ctx, "http://"+control+"/seen", &s); err != nil {
			return err
		}
		if s.Delivered >= int64(n) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d events delivered: %w", s.Delivered, n, ctx.Err())
		case <-again.C:
		}
	}
}
