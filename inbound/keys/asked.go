package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// Asked returns the key called id of a source that gives one at a time, and that
// ask asks: its answer is a key as a set has it. limit bounds how many new ones are
// asked for.
func (f *Fetcher) Asked(ctx context.Context, source, id string, limit *rate.Limiter, ask func(ctx context.Context) ([]byte, error)) (Key, error) {
	name := source + "\x00" + id
	v, err := f.single.get(ctx, name, time.Time{}, func(ctx context.Context) (*Key, time.Duration, error) {
		if !f.single.knows(name) && !limit.Allow() {
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

// Egress makes a call under the policy of a provider, for an account of it; it returns
// nil if there is no such provider.
type Egress func(provider, account string) func(*http.Request) (*http.Response, error)

// maxKey is how large the answer with a key may be.
const maxKey = 64 << 10

// Ask asks a provider for a key by a request whose URL is a path. It returns what is
// answered, whatever the status.
func (e Egress) Ask(provider string, req *http.Request) (status int, text []byte, err error) {
	if e == nil {
		return 0, nil, errors.New("no provider is asked here")
	}
	call := e(provider, "")
	if call == nil {
		return 0, nil, fmt.Errorf("there is no provider %q whose policy asks for keys", provider)
	}
	resp, err := call(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %q for a key: %w", provider, err)
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(resp.Body, maxKey)); err != nil {
		return 0, nil, fmt.Errorf("ask %q for a key: %w", provider, err)
	}
	return resp.StatusCode, text, nil
}
