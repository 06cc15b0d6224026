package keys

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// Asked returns the key called id of a source that gives one at a time, and that
// ask asks: its answer is a key as a set has it. limit bounds how many new ones are
// asked for.
func (f *Fetcher) Asked(ctx context.Context, source, id string, limit *rate.Limiter, ask func(ctx context.Context) ([]byte, error)) (Key, error) {
	v, err := f.single.get(ctx, source+"\x00"+id, time.Time{}, func(ctx context.Context) (*Key, time.Duration, error) {
		if !limit.Allow() {
			return nil, 0, errBusy
		}
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		text, err := ask(ctx)
		if err != nil {
			return nil, 0, err
		}
		s, err := Parse(text)
		if err != nil {
			return nil, 0, fmt.Errorf("the key that %s gives cannot be used: %w", source, err)
		}
		found := s.Find(id)
		if len(found) != 1 {
			return nil, 0, fmt.Errorf("key %.80q: %w", id, ErrUnknown)
		}
		return &found[0], time.Hour, nil
	})
	if err != nil {
		return Key{}, err
	}
	return *v.v, nil
}
