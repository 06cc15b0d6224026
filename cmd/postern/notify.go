package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/postern-proxy/postern/telemetry"
)

// A manager is told how this process is (sd_notify(3)). A nil one is not told.
type manager struct{ tel *telemetry.Telemetry }

func newManager(tel *telemetry.Telemetry) *manager { return &manager{tel} }

func (m *manager) tell(state string) {
	if m == nil {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.tel.Trouble("telling the service manager", err)
	}
}

// reloading has to be followed by READY=1.
func (m *manager) reloading() { m.tell("RELOADING=1\n" + monotonic()) }

// watchdog tells the service manager, as often as it wants to hear it, that the
// process is alive. A process of which nothing is heard is killed and started
// again.
func (g *gate) watchdog(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if g.manager == nil || err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		if err := g.alive(ctx, interval/3); err == nil {
			g.manager.tell("WATCHDOG=1")
		} else if ctx.Err() == nil {
			g.tel.Trouble("the watchdog is not told that all is well", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// alive asks the admin listener, as others do, and the store, for an answer
// within d. That the store cannot be written is an answer, and no reason to be
// killed. A store that others share is not asked: starting this process again
// does not mend it, and outbound calls go on without.
func (g *gate) alive(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	scheme := "http"
	if g.first.Admin.TLS != nil {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost/livez", nil)
	if err != nil {
		return err
	}
	tr := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // it is this process
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", reachable(g.admin.Addr().String()))
		},
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if g.db.Members() != nil {
		return nil
	}
	_ = g.db.Ready(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("the store does not answer")
	}
	return nil
}
