package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy/fallback"
)

// Stale tests a [fallback.Store]. open returns two handles on one empty place; the
// test closes them.
func Stale(t *testing.T, open func(*testing.T) (a, b fallback.Store)) {
	for name, run := range map[string]func(t *testing.T, a, b fallback.Store){
		"what is kept is found, by either":     staleFound,
		"a later one is instead of it":         staleReplaced,
		"what is of no use is not found":       staleEnds,
		"any bytes":                            staleBytes,
		"bad rows are refused, and none kept":  staleBad,
		"many at once, the same ones by both":  staleMany,
		"who left is told, and nothing breaks": staleCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			run(t, a, b)
		})
	}
}

// staleRow is a row that is meant by name.
func staleRow(name, sealed string, lasts time.Duration) fallback.Row {
	return fallback.Row{ID: sha256.Sum256([]byte(name)), Sealed: []byte(sealed), Until: time.Now().Add(lasts)}
}

func keepStale(t *testing.T, s fallback.Store, rows ...fallback.Row) {
	t.Helper()
	if err := s.Put(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
}

// wantStale looks for a row; "" is that there is none.
func wantStale(t *testing.T, s fallback.Store, r fallback.Row, sealed string) {
	t.Helper()
	got, ok, err := s.Get(t.Context(), r.ID)
	if err != nil || ok != (sealed != "") || string(got.Sealed) != sealed {
		t.Fatalf("%q, %v, %v; want %q", got.Sealed, ok, err, sealed)
	}
	if ok && (got.ID != r.ID || got.Until.Sub(r.Until).Abs() > time.Millisecond) {
		t.Errorf("%x until %v, want %x until %v", got.ID, got.Until, r.ID, r.Until)
	}
}

func staleFound(t *testing.T, a, b fallback.Store) {
	one, two := staleRow("one", "1", time.Hour), staleRow("two", "2", time.Hour)
	keepStale(t, a, one, two)
	for _, s := range []fallback.Store{a, b} {
		wantStale(t, s, one, "1")
		wantStale(t, s, two, "2")
		wantStale(t, s, staleRow("three", "", 0), "")
	}
	keepStale(t, a)
}

func staleReplaced(t *testing.T, a, b fallback.Store) {
	keepStale(t, a, staleRow("one", "first", time.Minute))
	next := staleRow("one", "second", time.Hour)
	keepStale(t, b, next)
	wantStale(t, a, next, "second")
	last := staleRow("one", "last", time.Hour)
	keepStale(t, a, staleRow("one", "third", time.Hour), last)
	wantStale(t, b, last, "last")
}

func staleEnds(t *testing.T, a, b fallback.Store) {
	old, young := staleRow("old", "1", -time.Second), staleRow("young", "2", 200*time.Millisecond)
	keepStale(t, a, old, young)
	wantStale(t, b, old, "")
	time.Sleep(250 * time.Millisecond)
	wantStale(t, b, young, "")
}

func staleBytes(t *testing.T, a, b fallback.Store) {
	r := staleRow("\x00", "", time.Hour)
	r.ID, r.Sealed = fallback.ID{}, bytes.Repeat([]byte{0, 0xff, '\'', '\\'}, 1<<18)
	keepStale(t, a, r)
	r.Sealed[0] = 1 // it is the store's own
	got, ok, err := b.Get(t.Context(), r.ID)
	if err != nil || !ok || len(got.Sealed) != 1<<20 || got.Sealed[0] != 0 || !bytes.Equal(got.Sealed[1:], r.Sealed[1:]) {
		t.Errorf("%d bytes, %v, %v", len(got.Sealed), ok, err)
	}
}

func staleBad(t *testing.T, a, b fallback.Store) {
	good := staleRow("good", "1", time.Hour)
	for _, bad := range []fallback.Row{staleRow("bad", "", time.Hour), {ID: good.ID, Sealed: []byte("x")}} {
		if err := a.Put(t.Context(), []fallback.Row{good, bad}); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	wantStale(t, b, good, "")
}

func staleMany(t *testing.T, a, b fallback.Store) {
	var rows []fallback.Row
	for i := range 300 {
		rows = append(rows, staleRow(fmt.Sprint(i), "x", time.Hour))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mine := append([]fallback.Row(nil), rows...)
			if i%2 == 0 { // in another order
				for l, r := 0, len(mine)-1; l < r; l, r = l+1, r-1 {
					mine[l], mine[r] = mine[r], mine[l]
				}
			}
			if err := []fallback.Store{a, b}[i%2].Put(t.Context(), mine); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range rows {
		wantStale(t, a, r, "x")
	}
}

func staleCancelled(t *testing.T, a, b fallback.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := staleRow("one", "1", time.Hour)
	if err := a.Put(ctx, []fallback.Row{r}); err == nil {
		t.Error("who had left was told that it is kept")
	}
	if _, _, err := a.Get(ctx, r.ID); err == nil {
		t.Error("who had left was told that there is none")
	}
	keepStale(t, b, r)
	wantStale(t, a, r, "1")
}
