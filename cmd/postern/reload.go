package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-proxy/postern/outbox"
	"github.com/postern-proxy/postern/shared"
)

// use makes l the configuration in force: whole, or not at all.
func (g *gate) use(l *loaded) error {
	grants := sources(l.outbound)
	if (len(grants) > 0 || keepsCalls(l.outbound) || keepsAnswers(l.outbound)) && l.ring == nil {
		return errUnsealed
	}
	if err := g.proxy.Swap(l.outbound, l.Proxy); err != nil {
		return err
	}
	g.vault.use(l.ring)
	var targets []string
	for _, w := range l.hooks {
		for _, d := range w.Deliver {
			targets = append(targets, d.Dialled())
		}
	}
	targets = append(targets, outbox.Callbacks(l.outbound)...)
	d := dialer(g.guard.DialerFor(targets...))
	g.deliveries.Store(&d)
	g.inbox.Swap(l.inbound)
	g.keeper.Swap(grants)
	now, none := time.Now(), ""
	g.now.Store(l)
	g.outbox.Wake()
	g.loadedAt.Store(&now)
	g.refused.Store(&none)
	g.secrets.Use(l.Context)
	g.generation.Add(1)
	if g.admin != nil {
		g.admin.Swap(l.Admin)
	}
	if g.connect != nil && l.Connect != nil {
		g.connect.Swap(l.Connect)
	}
	g.protect(l)
	return nil
}

// reloadWithin is how long a reload may ask the store.
const reloadWithin = 10 * time.Second

// reload puts the configuration that the files have now in force, or keeps the
// one before.
func (g *gate) reload(ctx context.Context) error {
	g.loading.Lock()
	defer g.loading.Unlock()
	g.manager.reloading()
	defer func() {
		g.manager.tell("READY=1\nSTATUS=" + g.inForce())
		select {
		case g.reloaded <- struct{}{}:
		default:
		}
	}()
	l, err := g.load(ctx)
	if err == nil {
		within, cancel := context.WithTimeout(ctx, reloadWithin)
		err = g.keys(within, l)
		cancel()
	}
	if err == nil {
		err = g.use(l)
	}
	if err != nil {
		if bad := (*invalid)(nil); errors.As(err, &bad) {
			err = fmt.Errorf("%w: %s", err, bad.reason())
		}
		why := err.Error()
		g.refused.Store(&why)
		g.tel.Reload(err)
		return fmt.Errorf("%w; the configuration before it stays in force", err)
	}
	g.tel.Reload(nil)
	g.transport.CloseIdle()
	for _, c := range g.restarts(l) {
		g.tel.Transition(slog.LevelWarn, "changed, and takes effect at the next start", slog.String("setting", c))
	}
	return nil
}

// inForce says which configuration is, in one line.
func (g *gate) inForce() string {
	if *g.refused.Load() != "" {
		return fmt.Sprintf("configuration %d is in force, the last reload was refused", g.generation.Load())
	}
	return fmt.Sprintf("configuration %d is in force", g.generation.Load())
}

// restarts lists what changed and is not applied by a reload.
func (g *gate) restarts(l *loaded) (changed []string) {
	for _, s := range []struct {
		name, bound, now string
	}{
		{"proxy.listen", g.first.Proxy.Listen, l.Proxy.Listen},
		{"inbound.listen", g.first.Inbound.Listen, l.Inbound.Listen},
		{"admin.listen", g.first.Admin.Listen, l.Admin.Listen},
		{"connect.listen", connectOf(g.first), connectOf(l)},
		{"store.url", whereOf(g.first), whereOf(l)},
		{"shared.url", sharedOf(g.first), sharedOf(l)},
		{"shared.prefix", prefixOf(g.first), prefixOf(l)},
	} {
		if s.bound != s.now {
			changed = append(changed, s.name)
		}
	}
	return changed
}

// connectOf is where customers are served, "" if they are not.
func connectOf(l *loaded) string {
	if l.Connect == nil {
		return ""
	}
	return l.Connect.Listen
}

// whereOf is where the store of a configuration is, "" if that is not known.
func whereOf(l *loaded) string {
	where, _ := l.Store.Where(l.Folder)
	return where
}

// sharedOf is the URL of the Redis of a configuration, "" if there is none.
func sharedOf(l *loaded) string {
	url, _ := l.Shared.Where()
	return url
}

// prefixOf is what the keys in Redis begin with, or would.
func prefixOf(l *loaded) string {
	c := l.Shared
	if c == nil {
		c = new(shared.Config)
		c.Default()
	}
	return c.Prefix
}
