package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// scenario is one kind of load, the same for every peer.
type scenario struct {
	name    string
	title   string
	side    string // "outbound", "credential", "keyed", "inbound", "storm", "postgres" or "shared"
	versus  string // the peer that the throughput of all others is divided by
	life    bool   // an event counts when it is applied
	unit    string // what is counted: "request", "MB", "event", "claim" or "op"
	each    float64
	workers int
	open    func(ctx context.Context, s scenario, p *peer, until time.Time) (ops []op, end func(), err error)
}

// The shapes of load.
const (
	many        = 64
	crowd       = 256
	few         = 16
	connections = 4 // HTTP/2 connections, and streams under way
)

func scenarios() []scenario {
	return []scenario{
		{name: "get64", title: "keep-alive HTTP/1.1, 1 KB GET, 64 connections", side: "outbound", versus: "direct", unit: "request", each: 1, workers: many, open: keepAlive(http.MethodGet)},
		{name: "post64", title: "keep-alive HTTP/1.1, 1 KB POST, 64 connections", side: "outbound", versus: "direct", unit: "request", each: 1, workers: many, open: keepAlive(http.MethodPost)},
		{name: "get1", title: "keep-alive HTTP/1.1, 1 KB GET, one connection", side: "outbound", versus: "direct", unit: "request", each: 1, workers: 1, open: keepAlive(http.MethodGet)},
		{name: "fresh64", title: "TCP, CONNECT and full TLS handshake per GET, 64 at once", side: "outbound", versus: "direct", unit: "request", each: 1, workers: many, open: fresh(false)},
		{name: "resume64", title: "the same by a client that resumes TLS sessions", side: "outbound", versus: "direct", unit: "request", each: 1, workers: many, open: fresh(true)},
		{name: "h2x64", title: "HTTP/2 client, 1 KB GET, 64 streams on 4 connections", side: "outbound", versus: "direct", unit: "request", each: 1, workers: many, open: multiplexed},
		{name: "down10m", title: "10 MB answers, 4 connections", side: "outbound", versus: "direct", unit: "MB", each: large / 1e6, workers: connections, open: streams(http.MethodGet)},
		{name: "up10m", title: "10 MB request bodies, 4 connections", side: "outbound", versus: "direct", unit: "MB", each: large / 1e6, workers: connections, open: streams(http.MethodPost)},
		{name: "credential64", title: "post64 by one kind of credential after the other", side: "credential", versus: "bearer", unit: "request", each: 1, workers: many, open: keepAlive(http.MethodPost)},
		{name: "keyed64", title: "post64 with a key for each call, remembered or not", side: "keyed", versus: "named", unit: "request", each: 1, workers: many, open: keepAlive(http.MethodPost)},
		{name: "inbound1", title: "signed webhooks, fsync before the answer, one connection", side: "inbound", versus: "append", unit: "event", each: 1, workers: 1, open: webhooks},
		{name: "inbound64", title: "the same on 64 connections", side: "inbound", versus: "append", unit: "event", each: 1, workers: many, open: webhooks},
		{name: "inbound256", title: "the same on 256 connections", side: "inbound", versus: "append", unit: "event", each: 1, workers: crowd, open: webhooks},
		{name: "life1", title: "the same until the application has taken them, one connection", side: "inbound", versus: "append", life: true, unit: "event", each: 1, workers: 1, open: webhooks},
		{name: "life64", title: "the same on 64 connections", side: "inbound", versus: "append", life: true, unit: "event", each: 1, workers: many, open: webhooks},
		{name: "life256", title: "the same on 256 connections", side: "inbound", versus: "append", life: true, unit: "event", each: 1, workers: crowd, open: webhooks},
		{name: "storm64", title: "the same signed webhook over and over, 64 connections", side: "storm", versus: "append", unit: "event", each: 1, workers: many, open: webhooks},
		{name: "postgres-ack", title: "signed webhooks on PostgreSQL, committed before the answer, 256 connections", side: "postgres", versus: "unnest", unit: "event", each: 1, workers: crowd, open: webhooks},
		{name: "postgres-life", title: "the same until the application has taken them and that is committed, 256 connections", side: "postgres", versus: "unnest", life: true, unit: "event", each: 1, workers: crowd, open: webhooks},
		{name: "postgres-statements", title: "whole lives on 16 connections: batches are small", side: "postgres", versus: "postern-1", life: true, unit: "event", each: 1, workers: few, open: webhooks},
		{name: "postgres-lanes", title: "claims in batches of 256, two at once; strict order in many lanes", side: "postgres", versus: "skip-locked", unit: "claim", each: 1},
		{name: "shared-limit", title: "tokens of one bucket taken by 64 goroutines", side: "shared", versus: "x-time-rate", unit: "op", each: 1},
	}
}

// stores says whether what is sent is kept and delivered.
func (s scenario) stores() bool { return s.side == "inbound" || s.side == "postgres" }

func keepAlive(method string) func(context.Context, scenario, *peer, time.Time) ([]op, func(), error) {
	return func(_ context.Context, s scenario, p *peer, until time.Time) ([]op, func(), error) {
		d := p.door.with("http/1.1", false)
		return openAll(s.workers, func() (*h1, error) {
			conn, err := d.open(until)
			if err != nil {
				return nil, err
			}
			return newH1(conn, method, p.name), nil
		}, func(c *h1) { c.conn.Close() })
	}
}

func fresh(resume bool) func(context.Context, scenario, *peer, time.Time) ([]op, func(), error) {
	return func(_ context.Context, s scenario, p *peer, until time.Time) ([]op, func(), error) {
		ops := make([]op, s.workers)
		for at := range ops {
			d, client := p.door.with("http/1.1", resume), newH1(nil, http.MethodGet, p.name)
			ops[at] = func(n uint64) error {
				conn, err := d.open(until)
				if err != nil {
					return err
				}
				defer conn.Close()
				client.conn = conn
				client.reader.Reset(conn)
				return client.call(n)
			}
		}
		return ops, func() {}, nil
	}
}

func multiplexed(ctx context.Context, s scenario, p *peer, until time.Time) (ops []op, end func(), err error) {
	d := p.door.with("h2", false)
	var conns []*h2
	end = func() {
		for _, conn := range conns {
			conn.conn.Close()
		}
	}
	for range connections {
		conn, err := newH2(ctx, d, until, p.name)
		if err != nil {
			end()
			return nil, nil, err
		}
		conns = append(conns, conn)
		if err := conn.call(ctx, calls.Add(1), make([]byte, small+1)); err != nil {
			end()
			return nil, nil, err
		}
	}
	for at := range s.workers {
		conn, got := conns[at%connections], make([]byte, small+1)
		ops = append(ops, func(n uint64) error { return conn.call(ctx, n, got) })
	}
	return ops, end, nil
}

func streams(method string) func(context.Context, scenario, *peer, time.Time) ([]op, func(), error) {
	return func(_ context.Context, s scenario, p *peer, until time.Time) ([]op, func(), error) {
		d := p.door.with("http/1.1", false)
		return openAll(s.workers, func() (*streamer, error) {
			conn, err := d.open(until)
			if err != nil {
				return nil, err
			}
			return newStreamer(conn, method, p.name), nil
		}, func(c *streamer) { c.conn.Close() })
	}
}

func webhooks(_ context.Context, s scenario, p *peer, until time.Time) ([]op, func(), error) {
	if p.local != nil {
		return p.local(s.workers), func() {}, nil
	}
	inboxes := append([]string{}, p.inboxes...)
	if p.inbox != "" {
		inboxes = append(inboxes, p.inbox)
	}
	var turn atomic.Uint64
	return openAll(s.workers, func() (*sender, error) {
		conn, err := net.DialTimeout("tcp", inboxes[turn.Add(1)%uint64(len(inboxes))], 5*time.Second)
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(until); err != nil {
			conn.Close()
			return nil, err
		}
		return newSender(conn, p.path, s.side == "storm"), nil
	}, func(c *sender) { c.conn.Close() })
}
