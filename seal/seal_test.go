package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newKey makes a key.
func newKey(t testing.TB) Key {
	k, err := Parse(Generate())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newRing makes a ring.
func newRing(t testing.TB, keys ...Key) *Ring {
	r, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func texts() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 0, 200) }

func bounds() *rapid.Generator[[]string] {
	return rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00é")), 0, 4, -1), 0, 4)
}

func TestRoundTrip(t *testing.T) {
	r := newRing(t, newKey(t))
	rapid.Check(t, func(t *rapid.T) {
		plain, bound := texts().Draw(t, "plain"), bounds().Draw(t, "bound")
		sealed := r.Seal(plain, bound...)
		if len(sealed) != len(plain)+Overhead {
			t.Fatalf("%d bytes became %d", len(plain), len(sealed))
		}
		if got, err := r.Open(sealed, bound...); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open = %q, %v; sealed was %q", got, err, plain)
		}
		if len(plain) > 8 && bytes.Contains(sealed, plain) {
			t.Fatal("the text stands in the record")
		}
		if again := r.Seal(plain, bound...); bytes.Equal(again[headSize:headSize+wrappedSize], sealed[headSize:headSize+wrappedSize]) ||
			bytes.Equal(again[headSize+wrappedSize:], sealed[headSize+wrappedSize:]) {
			t.Fatal("two records of one text are alike")
		}
	})
}

// TestC53EveryFlippedBitFailsClosed flips each bit of a record, cuts it at each
// length, and makes it longer.
func TestC53EveryFlippedBitFailsClosed(t *testing.T) {
	r := newRing(t, newKey(t), newKey(t))
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 0, 24).Draw(t, "plain")
		sealed := r.Seal(plain, "stripe", "acct_1")
		refuse := func(what string, changed []byte) {
			got, err := r.Open(changed, "stripe", "acct_1")
			if got != nil || !errors.Is(err, ErrForged) && !errors.Is(err, ErrKey) {
				t.Fatalf("%s: Open = %q, %v", what, got, err)
			}
		}
		for i := range sealed {
			for bit := range 8 {
				changed := bytes.Clone(sealed)
				changed[i] ^= 1 << bit
				refuse(fmt.Sprintf("bit %d of byte %d flipped", bit, i), changed)
			}
			refuse(fmt.Sprintf("cut at %d", i), sealed[:i])
			refuse(fmt.Sprintf("without the first %d", i+1), sealed[i+1:])
		}
		refuse("one byte more", append(bytes.Clone(sealed), 0))
	})
}

// TestC53SwappedRowsFailClosed opens a record where another belongs.
func TestC53SwappedRowsFailClosed(t *testing.T) {
	r := newRing(t, newKey(t))
	rapid.Check(t, func(t *rapid.T) {
		one, other := bounds().Draw(t, "one"), bounds().Draw(t, "other")
		if fmt.Sprintf("%q", one) == fmt.Sprintf("%q", other) {
			return
		}
		sealed := r.Seal([]byte("token"), one...)
		if got, err := r.Open(sealed, other...); got != nil || !errors.Is(err, ErrForged) {
			t.Fatalf("sealed for %q, opened for %q: %q, %v", one, other, got, err)
		}
		if got, err := r.Reseal(sealed, other...); got != nil || !errors.Is(err, ErrForged) {
			t.Fatalf("sealed for %q, resealed for %q: %v", one, other, err)
		}
	})
	sealed := r.Seal([]byte("token"), "ab", "c")
	if _, err := r.Open(sealed, "a", "bc"); !errors.Is(err, ErrForged) {
		t.Errorf("ab, c is the same as a, bc: %v", err)
	}
}

// TestPartsOfTwoRecords puts the data key of one record before the text of
// another of the same row.
func TestPartsOfTwoRecords(t *testing.T) {
	r := newRing(t, newKey(t))
	a, b := r.Seal([]byte("first"), "row"), r.Seal([]byte("second"), "row")
	mixed := append(bytes.Clone(a[:headSize+wrappedSize]), b[headSize+wrappedSize:]...)
	if got, err := r.Open(mixed, "row"); got != nil || !errors.Is(err, ErrForged) {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func TestRotation(t *testing.T) {
	first, second, third := newKey(t), newKey(t), newKey(t)
	r := newRing(t, first)
	sealed := r.Seal([]byte("token"), "row")
	if !r.Current(sealed) {
		t.Error("a new record is not current")
	}

	r.Replace(newRing(t, second, first)) // the operator puts a new key first
	if r.Current(sealed) {
		t.Error("a record under the old key is current")
	}
	if got, err := r.Open(sealed, "row"); string(got) != "token" || err != nil {
		t.Errorf("under the old key: %q, %v", got, err)
	}
	again, err := r.Reseal(sealed, "row")
	if err != nil || !r.Current(again) || KeyID(again) != second.ID() {
		t.Fatalf("Reseal: under %s, %v", KeyID(again), err)
	}
	if !bytes.Equal(again[headSize+wrappedSize:], sealed[headSize+wrappedSize:]) {
		t.Error("Reseal changed the text")
	}
	if fresh := r.Seal(nil, "row"); KeyID(fresh) != second.ID() {
		t.Errorf("sealed under %s", KeyID(fresh))
	}

	r.Replace(newRing(t, third, second)) // and takes the oldest away
	if got, err := r.Open(again, "row"); string(got) != "token" || err != nil {
		t.Errorf("resealed: %q, %v", got, err)
	}
	for name, err := range map[string]error{"Open": ignore(r.Open(sealed, "row")), "Reseal": ignore(r.Reseal(sealed, "row"))} {
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), first.ID()) || errors.Is(err, ErrForged) {
			t.Errorf("%s without the key: %v", name, err)
		}
	}
	if ids := r.IDs(); fmt.Sprint(ids) != fmt.Sprint([]string{third.ID(), second.ID()}) {
		t.Errorf("IDs = %v", ids)
	}
}

func ignore(_ []byte, err error) error { return err }

// TestRotationWhileInUse replaces keys under many goroutines: nothing that was
// sealed is lost.
func TestRotationWhileInUse(t *testing.T) {
	keys := []Key{newKey(t)}
	r := newRing(t, keys...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sealed := r.Seal([]byte("token"), "row")
				again, err := r.Reseal(sealed, "row")
				if err != nil {
					t.Errorf("Reseal: %v", err)
					return
				}
				if got, err := r.Open(again, "row"); string(got) != "token" || err != nil {
					t.Errorf("Open = %q, %v", got, err)
					return
				}
			}
		})
	}
	for range 200 {
		keys = append([]Key{newKey(t)}, keys...)
		r.Replace(newRing(t, keys...))
	}
	close(stop)
	wg.Wait()
}

func TestNewRingRefuses(t *testing.T) {
	k := newKey(t)
	for name, c := range map[string]struct {
		keys []Key
		want string
	}{
		"none":      {nil, "postern secrets keygen"},
		"an empty":  {[]Key{k, {}}, "seal key 2 of 2 is empty"},
		"one twice": {[]Key{k, newKey(t), k}, k.ID() + " is there twice"},
	} {
		if r, err := NewRing(c.keys...); r != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoRecord(t *testing.T) {
	r := newRing(t, newKey(t))
	for _, text := range [][]byte{nil, {}, []byte("xoxb-a-token-that-was-never-sealed"), bytes.Repeat([]byte{version}, Overhead-1), bytes.Repeat([]byte{2}, 200)} {
		if _, err := r.Open(text); !errors.Is(err, ErrForged) {
			t.Errorf("Open(%q) = %v", text, err)
		}
		if _, err := r.Reseal(text); !errors.Is(err, ErrForged) {
			t.Errorf("Reseal(%q) = %v", text, err)
		}
		if r.Current(text) || KeyID(text) != "" {
			t.Errorf("%q passes for a record", text)
		}
	}
	if _, err := r.Open(bytes.Repeat([]byte{2}, 200)); !strings.Contains(err.Error(), "does not know its format, 2") {
		t.Errorf("a record of the future: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k, err := Parse(knownKey)
	if err != nil {
		f.Fatal(err)
	}
	r := newRing(f, k)
	f.Add(r.Seal([]byte("token"), "row"))
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if got, err := r.Open(sealed, "another row"); err == nil {
			t.Fatalf("forged: %q", got)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	r := newRing(b, newKey(b))
	plain := make([]byte, 1024)
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		r.Seal(plain, "stripe", "acct_1", "access", "api.stripe.com")
	}
}

func BenchmarkOpen(b *testing.B) {
	r := newRing(b, newKey(b))
	sealed := r.Seal(make([]byte, 1024), "stripe", "acct_1", "access", "api.stripe.com")
	b.SetBytes(1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(sealed, "stripe", "acct_1", "access", "api.stripe.com"); err != nil {
			b.Fatal(err)
		}
	}
}
