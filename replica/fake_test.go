package replica_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/replica"
	"github.com/postern-proxy/postern/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("the place cannot be reached")

// place is one that replicas share. It can be made to fail, or to hang until its
// callers leave.
type place struct {
	mu     sync.Mutex
	down   bool
	hang   bool
	seen   map[string]replica.Replica
	leases map[string]leased
	asked  int
}

type leased struct {
	holder string
	until  time.Time
}

func newPlace() *place {
	return &place{seen: map[string]replica.Replica{}, leases: map[string]leased{}}
}

func (p *place) set(down, hang bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down, p.hang = down, hang
}

// enter locks p if it answers.
func (p *place) enter(ctx context.Context) error {
	p.mu.Lock()
	p.asked++
	if p.hang {
		p.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	if p.down || ctx.Err() != nil {
		p.mu.Unlock()
		return errors.Join(errDown, ctx.Err())
	}
	return nil
}

func (p *place) Beat(ctx context.Context, self replica.Replica, within time.Duration) (all []replica.Replica, _ error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	self.Seen = time.Now()
	p.seen[self.ID] = self
	for _, r := range p.seen {
		if time.Since(r.Seen) < within {
			all = append(all, r)
		}
	}
	return all, nil
}

func (p *place) Leave(ctx context.Context, id string) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.mu.Unlock()
	delete(p.seen, id)
	return nil
}

func (p *place) Hold(ctx context.Context, name, holder string, lease time.Duration) (bool, time.Time, error) {
	asked := time.Now()
	if err := p.enter(ctx); err != nil {
		return false, time.Time{}, err
	}
	defer p.mu.Unlock()
	if l := p.leases[name]; l.holder != holder && time.Now().Before(l.until) {
		return false, time.Time{}, nil
	}
	p.leases[name] = leased{holder, time.Now().Add(lease)}
	return true, asked.Add(lease), nil
}

func (p *place) Yield(ctx context.Context, name, holder string) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if p.leases[name].holder == holder {
		delete(p.leases, name)
	}
	return nil
}

// TestPlace shows that what the other tests use keeps what is promised.
func TestPlace(t *testing.T) {
	storetest.Members(t, func(*testing.T) (a, b replica.Members) { p := newPlace(); return p, p })
	storetest.Leases(t, func(*testing.T) (a, b replica.Leases) { p := newPlace(); return p, p })
}
