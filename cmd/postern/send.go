package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// sending is the command that posts a sample of a webhook.
type sending struct {
	data, to string
	header   []string
	list     bool
	shown    []byte // the body of the sample, without what signs it
}

func sendCommand(o *options) *cobra.Command {
	s := &sending{}
	cmd := &cobra.Command{
		Use: "send PROVIDER|WEBHOOK TYPE", Short: "Post a signed sample of a webhook to the inbox, for local development",
		Long: "Post a sample of a webhook to the inbox, signed with the webhook's own secret as its provider signs, for local development.\n\nWithout --data it is a small JSON that has what the event block of the webhook reads: type, id, account, key and time. A webhook whose\nprovider signs with a private key cannot be made here.",
		Args: cobra.RangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, o, args) },
	}
	cmd.Flags().StringVar(&s.data, "data", "", "body: JSON, or the name of a file that holds any bytes")
	cmd.Flags().StringVar(&s.to, "to", "", "URL to post to; else the inbound listener of the configuration")
	cmd.Flags().StringArrayVar(&s.header, "header", nil, "one more header, such as 'X-GitHub-Event: push'; may be repeated")
	cmd.Flags().BoolVar(&s.list, "list", false, "list the webhooks of the configuration, and whether they can be signed here")
	return cmd
}

func (s *sending) run(cmd *cobra.Command, o *options, args []string) error {
	l, diags, err := check(o.config)
	if err != nil {
		return err
	}
	if diags.HasErrors() {
		report(cmd.ErrOrStderr(), diags, l.Files)
		return &exitError{exitUsage, nil}
	}
	if s.list {
		return printWebhooks(cmd.OutOrStdout(), l)
	}
	if len(args) != 2 {
		return &exitError{exitUsage, errors.New("say which webhook and which type, such as: postern send stripe invoice.paid; --list shows the webhooks")}
	}
	hook, err := webhookCalled(l, args[0])
	if err != nil {
		return &exitError{exitUsage, err}
	}
	report(cmd.ErrOrStderr(), l.Context.Resolve(cmd.Context()), l.Files)
	req, err := s.request(l, hook, args[1])
	if err != nil {
		return &exitError{exitFailure, err}
	}
	if s.data == "" && hook.Event.Type == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "The event block of webhook %q reads no type, so the sample has none.\n", hook.Name)
	}
	return s.post(cmd, o, l, hook, req)
}

func printWebhooks(w io.Writer, l *loaded) error {
	var rows [][]string
	for _, h := range l.hooks {
		how := "signed as by the provider"
		switch {
		case !h.Signs():
			how = "cannot be signed here"
		case h.Verify[0].Kind == "none":
			how = "not signed"
		}
		rows = append(rows, []string{h.Name, fallback(h.Provider, "-"), h.Path, h.Verify[0].Kind, how})
	}
	return printTable(w, []column{{"WEBHOOK", 0}, {"PROVIDER", 0}, {"PATH", 0}, {"VERIFY", 0}, {"SAMPLE", 6}}, rows)
}

// webhookCalled finds a webhook by its name, its provider or its catalogue entry.
func webhookCalled(l *loaded, name string) (*inbound.Webhook, error) {
	if h := l.inbound.Webhook(name); h != nil {
		return h, nil
	}
	var of []*inbound.Webhook
	var names []string
	for _, h := range l.hooks {
		if h.Provider == name || h.Catalog == name {
			of, names = append(of, h), append(names, h.Name)
		}
	}
	switch len(of) {
	case 0:
		for _, h := range l.hooks {
			names = append(names, h.Name)
		}
		hint := "the configuration has none"
		if len(names) > 0 {
			hint = "there are " + strings.Join(names, ", ")
		}
		if s := block.Suggest(name, names); s != "" {
			hint = fmt.Sprintf("did you mean %q?", s)
		}
		return nil, fmt.Errorf("no webhook and no provider of one is called %q; %s", name, hint)
	case 1:
		return of[0], nil
	}
	return nil, fmt.Errorf("%q has several webhooks: say one of %s", name, strings.Join(names, ", "))
}

// request makes the sample.
func (s *sending) request(l *loaded, hook *inbound.Webhook, kind string) (*inbound.Request, error) {
	var body []byte
	switch text := strings.TrimSpace(s.data); {
	case s.data == "":
	case json.Valid([]byte(text)) && (text[0] == '{' || text[0] == '['):
		body = []byte(s.data)
	default:
		var err error
		if body, err = os.ReadFile(s.data); err != nil {
			return nil, fmt.Errorf("--data is neither a JSON object nor a file: %w", err)
		}
	}
	header := http.Header{}
	for _, h := range s.header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q is not NAME: VALUE", h)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	r := hook.Sample(kind, body, header, l.inbound.PublicURL(hook.Path), time.Now())
	s.shown = r.Body // without what signs it
	return r, hook.SignSample(r)
}

// target is the URL to post to.
func (s *sending) target(l *loaded, hook *inbound.Webhook) (string, error) {
	if s.to == "" {
		scheme := "http"
		if l.Inbound.TLS != nil {
			scheme = "https"
		}
		return (&url.URL{Scheme: scheme, Host: reachable(l.Inbound.Listen), Path: hook.Path}).String(), nil
	}
	u, err := url.Parse(s.to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("--to %q is not a URL such as http://127.0.0.1:8081", s.to)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = hook.Path
	}
	return u.String(), nil
}

// post sends the sample and says what came of it.
func (s *sending) post(cmd *cobra.Command, o *options, l *loaded, hook *inbound.Webhook, sample *inbound.Request) error {
	to, err := s.target(l, hook)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(sample.Body))
	if err != nil {
		return &exitError{exitFailure, fmt.Errorf("make the request: %w", err)}
	}
	req.Header = sample.Header
	// Nothing from the environment: HTTP_PROXY is likely to name Postern itself. It
	// is a listener on this machine, whose name its certificate may not have.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: s.to == ""}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return &exitError{exitFailure, fmt.Errorf("nobody takes it at %s: is `postern run` running? (%w)", to, err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return &exitError{exitFailure, fmt.Errorf("read the answer: %w", err)}
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "POST %s\n", to)
	fmt.Fprintf(out, "  %s\n", onLine(string(s.shown[:min(len(s.shown), 300)])))
	fmt.Fprintln(out, strings.TrimSpace(resp.Status+" "+onLine(strings.TrimSpace(string(text)))))
	id := resp.Header.Get("Postern-Id")
	if resp.StatusCode >= 300 {
		return &exitError{exitFailure, fmt.Errorf("it was not taken; the log of `postern run` says why, under id %s", fallback(onLine(id), "-"))}
	}
	switch {
	case id == "":
	case s.to == "" && known(cmd.Context(), o, id):
		fmt.Fprintf(out, "\nIt was taken, and is no new event: one of this id is stored already, or there is nothing in it to store.\n  postern inbox list --webhook %s\n", quoted(hook.Name))
	default:
		fmt.Fprintf(out, "\nIt is stored. What becomes of it:\n  postern inbox show %s\n  postern inbox tail --webhook %s\n", quoted(onLine(id)), quoted(hook.Name))
	}
	return nil
}

// known reports whether what was taken under an id is no event of its own. Where
// nobody can be asked, it is taken for one.
func known(ctx context.Context, o *options, id string) bool {
	c, err := client(o)
	if err != nil {
		return false
	}
	defer c.Close()
	_, err = c.Show(ctx, id)
	var said *admin.Problem
	return errors.As(err, &said) && said.Status == http.StatusNotFound
}
