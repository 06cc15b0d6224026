package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/postern-proxy/postern/config"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/drain"
	"github.com/postern-proxy/postern/inbound"
	"github.com/postern-proxy/postern/inbound/keys"
	"github.com/postern-proxy/postern/inbound/scheme"
	"github.com/postern-proxy/postern/store"
	"github.com/postern-proxy/postern/telemetry"
)

// listenerRole is Postern's own listener, with its policy, its metrics and its log line, over the file of the role
// append: what is left of it where storing is the cheapest there can be. Nothing is delivered.
func listenerRole(args []string) error {
	flags := flag.NewFlagSet("append-listener", flag.ContinueOnError)
	dir := flags.String("dir", ".", "folder for the data")
	if err := flags.Parse(args); err != nil {
		return err
	}
	file, err := newAppender(filepath.Join(*dir, "listener.log"))
	if err != nil {
		return err
	}
	set, err := listenerPolicy(*dir)
	if err != nil {
		return err
	}
	tel := telemetry.New(telemetry.Options{Output: os.Stderr, Gather: true, Format: telemetry.JSON})
	in := inbound.New(inbound.Options{Store: appended{store.NewMemory().Inbox(), file}, Observer: tel.Inbox()})
	in.Swap(set)
	bound, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := in.Server()
	listener := drain.New(server, inbound.Refusal).Listener(bound, false)
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	return serveRole(bound.Addr(), counted(file.count))
}

// listenerPolicy is that of the webhook which Postern itself is measured with.
func listenerPolicy(dir string) (*inbound.Set, error) {
	path := filepath.Join(dir, "listener.hcl")
	if err := os.WriteFile(path, fmt.Appendf(nil, posternWebhook, "now", "127.0.0.1:1", 1), 0o600); err != nil {
		return nil, err
	}
	c, diags := config.LoadWith(path, block.NewSecrets([]string{"BENCH_WEBHOOK_SECRET=" + webhookSecret}))
	if diags.HasErrors() {
		return nil, diags
	}
	w := c.Webhooks[0]
	hook, diags := inbound.Decode(w.Name, w.Range, w.Body, c.Context, c.Schemes(scheme.All(keys.New(keys.Options{}), nil)))
	if diags.HasErrors() {
		return nil, diags
	}
	set, diags := inbound.NewSet(*c.Inbound, []*inbound.Webhook{hook})
	if diags.HasErrors() {
		return nil, diags
	}
	return set, nil
}

// appended is a store that appends what it is given, and knows no duplicate.
type appended struct {
	inbound.Store
	file *appender
}

func (a appended) Insert(_ context.Context, all ...*inbound.Arrival) error {
	for _, one := range all {
		e := one.Event
		header, err := json.Marshal(e.Header)
		if err != nil {
			return err
		}
		err = a.file.add(written(e.Occurred.UnixMicro(), e.Received, e.Body, e.ID, e.Webhook, e.Account, e.EventID, e.Type, e.Key, string(header), string(e.SHA256[:])))
		if err != nil {
			return err
		}
		one.ID, one.What = e.ID, inbound.Stored
	}
	return nil
}
