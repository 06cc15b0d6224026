package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// admin never goes through a proxy, whatever the environment says.
var admin = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// Get reads a path of the admin listener, with AdminToken if there is one.
func (p *Postern) Get(path string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+p.Admin+path, nil)
	if err != nil {
		return 0, "", fmt.Errorf("admin %s: %w", path, err)
	}
	if p.AdminToken != "" {
		req.Header.Set("Authorization", "Bearer "+p.AdminToken)
	}
	resp, err := admin.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("admin %s: %w", path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Post sends JSON to a path of the admin listener, and reads what it answers into into, unless that is nil.
func (p *Postern) Post(path string, body, into any) (status int, err error) {
	b, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	resp, err := admin.Post("http://"+p.Admin+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, fmt.Errorf("admin %s: %w", path, err)
	}
	defer resp.Body.Close()
	if b, err = io.ReadAll(resp.Body); err != nil {
		return 0, fmt.Errorf("admin %s: %w", path, err)
	}
	if into != nil && json.Unmarshal(b, into) != nil {
		return resp.StatusCode, fmt.Errorf("admin %s: %s %s", path, resp.Status, b)
	}
	return resp.StatusCode, nil
}

// Metric sums the samples of a metric whose labels contain every one of labels, written name="value".
func (p *Postern) Metric(name string, labels ...string) float64 {
	p.t.Helper()
	status, body, err := p.Get("/metrics")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("metrics: %d %v", status, err)
	}
	sum := 0.0
lines:
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		fields := strings.Fields(rest)
		var v float64
		if _, err := fmt.Sscan(fields[len(fields)-1], &v); err == nil {
			sum += v
		}
	}
	return sum
}
