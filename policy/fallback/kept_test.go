package fallback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a store.
type shelf struct {
	mu   sync.Mutex
	rows map[ID]Row
	puts map[ID]int
	err  error
}

func (s *shelf) Put(_ context.Context, rows []Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.rows == nil {
		s.rows, s.puts = map[ID]Row{}, map[ID]int{}
	}
	for _, r := range rows {
		s.rows[r.ID] = r
		s.puts[r.ID]++
	}
	return nil
}

func (s *shelf) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows)
}

func (s *shelf) Get(_ context.Context, id ID) (Row, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.rows[id]
	return r, ok, s.err
}

func newRing(t *testing.T) func() (*seal.Ring, error) {
	t.Helper()
	k, err := seal.Parse(seal.Generate())
	if err != nil {
		t.Fatal(err)
	}
	r, err := seal.NewRing(k)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*seal.Ring, error) { return r, nil }
}

// running is a memory on a store, until the returned function ends it.
func running(t *testing.T, s Store, ring func() (*seal.Ring, error)) (k *Kept, troubles *[]string, end func()) {
	k, troubles = NewKept(), new([]string)
	k.Open(s, ring, func(doing string, err error) { *troubles = append(*troubles, doing+": "+err.Error()) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); k.Run(ctx) }()
	return k, troubles, func() { cancel(); <-done }
}

func note(text string) *answer {
	return &answer{at: time.Now(), header: http.Header{"Content-Type": {"text/plain"}, "X": {"a", "M\xfcller"}}, body: []byte(text), keys: []string{"k"}}
}

// TestKeptOutlivesProcess: what was kept is there after a restart, sealed, written
// once however often it came, at the latest when the process ends.
func TestKeptOutlivesProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ring := new(shelf), newRing(t)
		k, troubles, end := running(t, s, ring)
		for i := range 100 {
			k.put(ID{1}, note(fmt.Sprint("canary ", i)), time.Hour)
			time.Sleep(10 * time.Millisecond)
		}
		if s.len() != 0 {
			t.Error("a call waited for the store")
		}
		time.Sleep(behind)
		synctest.Wait()
		s.mu.Lock()
		if s.puts[ID{1}] != 1 || bytes.Contains(s.rows[ID{1}].Sealed, []byte("canary")) {
			t.Errorf("written %d times: %q", s.puts[ID{1}], s.rows[ID{1}].Sealed)
		}
		s.mu.Unlock()
		for i := range byte(100) {
			k.put(ID{2, i}, note("last"), time.Hour)
		}
		end()
		if s.len() != 101 || s.puts[ID{1}] != 1 {
			t.Errorf("%d were written", s.len())
		}
		k, more, end := running(t, s, ring)
		defer end()
		a := k.find(t.Context(), ID{1}, time.Hour)
		if a == nil || string(a.body) != "canary 99" || !reflect.DeepEqual(a.header, note("").header) || len(a.keys) != 1 || a.keys[0] != "k" {
			t.Fatalf("%+v", a)
		}
		if k.find(t.Context(), ID{3}, time.Hour) != nil {
			t.Error("there is an answer that was never given")
		}
		time.Sleep(time.Hour + time.Millisecond)
		if k.find(t.Context(), ID{1}, time.Hour) != nil || k.find(t.Context(), ID{2, 1}, time.Hour) != nil {
			t.Error("an answer is given that is too old")
		}
		if len(*troubles)+len(*more) > 0 {
			t.Error(*troubles, *more)
		}
	})
}

// TestC53KeptSwapped: the row of another call, a damaged one, and one under
// another key are no answers.
func TestC53KeptSwapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ring := new(shelf), newRing(t)
		k, _, end := running(t, s, ring)
		k.put(ID{1}, note("one"), time.Hour)
		end()
		row := s.rows[ID{1}]
		row.ID = ID{2}
		s.rows[ID{2}] = row
		damaged := Row{ID: ID{3}, Sealed: bytes.Clone(row.Sealed), Until: row.Until}
		damaged.Sealed[len(damaged.Sealed)-1] ^= 1
		s.rows[ID{3}] = damaged
		k, troubles, end := running(t, s, ring)
		for _, id := range []ID{{2}, {3}} {
			if a := k.find(t.Context(), id, time.Hour); a != nil {
				t.Errorf("%s was given", a.body)
			}
		}
		end()
		k, more, end := running(t, s, newRing(t))
		if a := k.find(t.Context(), ID{1}, time.Hour); a != nil {
			t.Errorf("%s was opened by another key", a.body)
		}
		end()
		if len(*troubles) != 2 || len(*more) != 1 {
			t.Errorf("%v, %v: want to be told", *troubles, *more)
		}
	})
}

// TestKeptWithoutStore: a store that fails loses nothing that is in memory, and says
// so; one that comes again is written to.
func TestKeptWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{err: errors.New("disk full")}
		k, troubles, end := running(t, s, newRing(t))
		defer end()
		k.put(ID{1}, note("one"), time.Hour)
		time.Sleep(behind)
		synctest.Wait()
		if a := k.find(t.Context(), ID{1}, time.Hour); a == nil || len(*troubles) != 1 || !strings.Contains((*troubles)[0], "disk full") {
			t.Errorf("%v, %v", a, *troubles)
		}
		if k.find(t.Context(), ID{2}, time.Hour) != nil {
			t.Error("an answer from nowhere")
		}
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		k.put(ID{1}, note("two"), time.Hour)
		time.Sleep(behind)
		synctest.Wait()
		if s.len() != 1 {
			t.Error("not written again")
		}
	})
}

// TestKeptBounded: in number and in bytes, the ones in use stay.
func TestKeptBounded(t *testing.T) {
	k := NewKept()
	id := func(i int) ID { return ID{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range most + 500 {
		k.put(id(i), note("x"), time.Hour)
		k.find(t.Context(), id(0), time.Hour)
	}
	if k.known.Len() != most || k.find(t.Context(), id(0), time.Hour) == nil || k.find(t.Context(), id(1), time.Hour) != nil {
		t.Errorf("%d are kept", k.known.Len())
	}
	large := strings.Repeat("x", 1<<20)
	for i := range 400 {
		k.put(id(1<<16+i%[]int{150, 50}[i/200]), note(large), time.Hour)
	}
	sum := 0
	for _, e := range k.known.Values() {
		sum += e.size()
	}
	if k.bytes != sum || sum > room || sum < room/2 {
		t.Errorf("%d bytes are kept, counted as %d", sum, k.bytes)
	}
}

func FuzzDecode(f *testing.F) {
	good, err := note("body").encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, p []byte) {
		if a, err := decode(p); err == nil {
			if _, err := a.encode(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
