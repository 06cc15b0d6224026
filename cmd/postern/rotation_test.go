package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// A lock is a provider that takes some keys and refuses all others.
type lock struct {
	*httptest.Server
	mu      sync.Mutex
	good    map[string]bool
	seen    map[string]int
	refused atomic.Int64
}

func newLock(t *testing.T, key string) *lock {
	t.Helper()
	l := &lock{good: map[string]bool{key: true}, seen: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		l.mu.Lock()
		l.seen[key]++
		good := l.good[key]
		l.mu.Unlock()
		if !good {
			l.refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *lock) allow(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good[key] = true
}

func (l *lock) revoke(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.good[key] = false
}

func (l *lock) saw(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[key] > 0
}

// rotated says how a file with a key is replaced.
type rotated struct {
	name string
	file string                              // in the policy
	swap func(t *testing.T, dir, key string) // puts a key there, also the first one
}

// mounted puts a key into a new folder of a mount, and swaps the link to it, as
// the kubelet does with a Secret.
func mounted(t *testing.T, dir, key string) {
	t.Helper()
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mount := filepath.Join(dir, "mount")
	do(os.MkdirAll(mount, 0o700))
	fresh, err := os.MkdirTemp(mount, "..")
	do(err)
	do(os.WriteFile(filepath.Join(fresh, "key"), []byte(key+"\n"), 0o600))
	before, _ := os.Readlink(filepath.Join(mount, "..data"))
	do(os.Symlink(filepath.Base(fresh), filepath.Join(mount, "..data_tmp")))
	do(os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")))
	if before == "" {
		do(os.Symlink("..data/key", filepath.Join(mount, "key")))
		return
	}
	do(os.RemoveAll(filepath.Join(mount, before)))
}

// renamed puts a key in the place of another by a rename.
func renamed(t *testing.T, dir, key string) {
	t.Helper()
	put(t, filepath.Join(dir, "key"), key+"\n")
}

// inPlace empties a file and writes a key into it, with pauses that a slow writer
// may make.
func inPlace(t *testing.T, dir, key string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "plain"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range []string{key[:len(key)/2], key[len(key)/2:] + "\n"} {
		time.Sleep(300 * time.Millisecond) // longer than a reload waits
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
	}
}

// TestP40Rotation: 2,000 calls by eight callers while the key of each provider is
// swapped ten times; the old key is revoked as soon as the new one was seen, so
// that some of those under way are refused. None fails.
func TestP40Rotation(t *testing.T) {
	swaps, calls := 10, 2000
	if testing.Short() {
		swaps, calls = 2, 400
	}
	t.Parallel()
	for _, how := range []rotated{
		{"renamed", "key", renamed},
		{"mounted", "mount/key", mounted},
		{"in_place", "plain", inPlace},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			n := swaps
			if how.name == "in_place" {
				n = min(n, 3) // each takes a second
			}
			how.rotate(t, n, calls)
		})
	}
}

func (how *rotated) rotate(t *testing.T, swaps, calls int) {
	keyOf := func(n int) string { return fmt.Sprintf("key-%02d-%s-0123456789", n, how.name) }
	provider := newLock(t, keyOf(0))
	files := map[string]string{"p.hcl": providerWith(provider.URL, fmt.Sprintf("expect(file(%q), \"^key-\")", how.file))}
	dir := t.TempDir()
	how.swap(t, dir, keyOf(0))
	g, dir := startGateIn(t, dir, files)
	eventually(t, "watching", func() bool { return g.watching.Load() })
	client := through(t, g)
	var made, failed atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					if made.Load() >= int64(calls) {
						return
					}
				default:
				}
				resp, err := client.Post("http://p.example/v1/things", "text/plain", strings.NewReader(strings.Repeat("x", n%1000)))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				made.Add(1)
				if resp.StatusCode != http.StatusOK {
					failed.Add(1)
					t.Errorf("call %d was answered %s by %s", made.Load(), resp.Status, resp.Header.Get("Postern-Source"))
					return
				}
			}
		})
	}
	for n := 1; n <= swaps; n++ {
		provider.allow(keyOf(n))
		how.swap(t, dir, keyOf(n))
		eventually(t, fmt.Sprintf("key %d", n), func() bool { return provider.saw(keyOf(n)) || failed.Load() > 0 })
		provider.revoke(keyOf(n - 1))
	}
	close(done)
	wg.Wait()
	if made.Load() < int64(calls) || failed.Load() > 0 {
		t.Errorf("%d of %d calls failed", failed.Load(), made.Load())
	}
	for key := range provider.seen {
		if !strings.HasSuffix(key, "-0123456789") {
			t.Errorf("half of a key was sent: %q", key)
		}
	}
	t.Logf("%d calls, %d of them refused with an old key and sent again", made.Load(), provider.refused.Load())
	states := keysOf(g)
	if states[0].State != policy.KeyInUse || states[0].Fingerprint != block.Fingerprint(keyOf(swaps)) || len(states) < 2 || states[1].State != policy.KeyReplaced {
		t.Errorf("%+v", states)
	}
}

// keysOf lists the keys of the one provider.
func keysOf(g *gate) (list []policy.KeyState) {
	for _, st := range g.now.Load().outbound.Provider("p").Plans()[0].Stages {
		if st.Keys != nil {
			list = append(list, st.Keys()...)
		}
	}
	return list
}
