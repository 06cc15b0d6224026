package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
		code, _, err := probe(ctx, admin+"/readyz")
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

// probe reads a health endpoint.
func probe(ctx context.Context, target string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", fmt.Errorf("ask %s: %w", target, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // never through a proxy
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("ask %s: %w", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(body), err
}

func healthCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask a running Postern whether it is ready; exit with 0 if it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin := os.Getenv("POSTERN_ADMIN")
			if admin == "" {
				c, diags := config.Load(o.config, os.Environ())
				if c.Context == nil {
					report(cmd.ErrOrStderr(), diags, c.Files)
					return &exitError{exitUsage, nil}
				}
				admin = adminURL(c)
			}
			code, text, err := probe(cmd.Context(), strings.TrimSuffix(admin, "/")+"/readyz?verbose")
			if err != nil {
				return &exitError{exitFailure, fmt.Errorf("nothing answers at %s: is `postern run` running? (%w)", admin, err)}
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			if code != http.StatusOK {
				return &exitError{exitFailure, nil}
			}
			return nil
		},
	}
}
