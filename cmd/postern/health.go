package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config"
)

// adminURL is where the admin listener of a configuration is reached.
func adminURL(c *config.Config) string {
	if u := os.Getenv("POSTERN_ADMIN"); u != "" {
		return strings.TrimSuffix(u, "/")
	}
	scheme := "http"
	if c.Admin.TLS != nil {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: reachable(c.Admin.Listen)}).String()
}

// reachable is an address to call, of one to listen on: a wildcard is reached
// on loopback.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

type state int

const (
	absent   state = iota // nothing listens
	starting              // it listens, and is not ready
	running
)

// ready asks until Postern is ready, or absent, or wait is over.
func ready(ctx context.Context, admin string, wait time.Duration) state {
	end := time.Now().Add(wait)
	for {
		code, err := probe(ctx, admin+"/readyz")
		switch {
		case err != nil:
			return absent
		case code == http.StatusOK:
			return running
		case time.Now().After(end) || ctx.Err() != nil:
			return starting
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// probe reads the status of a health endpoint.
func probe(ctx context.Context, target string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", target, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // never through a proxy
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", target, err)
	}
	return resp.StatusCode, resp.Body.Close()
}
