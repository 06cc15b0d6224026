package store

import (
	"cmp"
	"context"
	"time"

	"github.com/postern-proxy/postern/policy/idempotency"
)

// Answers returns m as the store of calls with an idempotency key.
func (m *Memory) Answers() idempotency.Store { return memoryAnswers{m} }

type memoryAnswers struct{ *Memory }

func (m memoryAnswers) Begin(ctx context.Context, c *idempotency.Claim) (idempotency.Standing, error) {
	if err := cmp.Or(ctx.Err(), c.Check()); err != nil {
		return idempotency.Standing{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, put := m.answers[c.ID].claim(c, time.Now())
	if put != nil {
		m.answers[c.ID] = put
	}
	return s, nil
}

// held returns the call that runs, or ran, under l.
func (m memoryAnswers) held(l idempotency.Lease) (*answer, error) {
	a := m.answers[l.ID]
	if a == nil || a.token != l.Token {
		return nil, idempotency.ErrLost
	}
	return a, nil
}

func (m memoryAnswers) Renew(ctx context.Context, l idempotency.Lease, lasts time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.held(l)
	if err == nil && a.state != idempotency.Sent {
		err = idempotency.ErrLost
	}
	if err == nil {
		a.until = time.Now().Add(lasts)
	}
	return err
}

func (m memoryAnswers) End(ctx context.Context, l idempotency.Lease, e *idempotency.Ending) error {
	if err := cmp.Or(ctx.Err(), e.Check()); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.held(l)
	if err != nil {
		return err
	}
	if e.State == idempotency.Free {
		delete(m.answers, l.ID)
		return nil
	}
	m.answers[l.ID] = a.end(e, time.Now())
	return nil
}
