package policy_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/postern-proxy/postern/policy"
)

// TestBodyBytes: reading all of a body takes nothing from its readers, whether
// it fits or not.
func TestBodyBytes(t *testing.T) {
	for _, c := range []struct {
		size, announced, limit int64
		err                    error
		again                  bool
	}{
		{100, 100, 100, nil, true},
		{100, -1, 100, nil, true},
		{0, 0, 10, nil, true},
		{0, -1, 10, nil, true},
		{100, 100, 1 << 20, nil, true},
		{101, 101, 100, policy.ErrTooLarge, false},
		{101, -1, 100, policy.ErrTooLarge, false},
		{5000, -1, 0, policy.ErrTooLarge, false},
	} {
		want := bytes.Repeat([]byte("x"), int(c.size))
		b := policy.NewBody(iotest.HalfReader(bytes.NewReader(want)), c.announced, c.limit)
		p, err := b.Bytes()
		if !errors.Is(err, c.err) || err == nil && !bytes.Equal(p, want) {
			t.Errorf("%+v: %d bytes, %v", c, len(p), err)
		}
		r, err := b.Reader()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v: read %d bytes, %v", c, len(got), err)
		}
		if b.Replayable() != c.again {
			t.Errorf("%+v: replayable %v", c, b.Replayable())
		}
		if _, err := b.Reader(); (err == nil) != c.again {
			t.Errorf("%+v: second reader: %v", c, err)
		}
	}
}

// TestBodyLate: a reader of an attempt that is over gets nothing more, and
// takes nothing from the next one, also while it waits for the application.
func TestBodyLate(t *testing.T) {
	src, app := io.Pipe()
	b := policy.NewBody(src, -1, 1<<10)
	first, _ := b.Reader()
	var wg sync.WaitGroup
	wg.Go(func() {
		p := make([]byte, 10)
		first.Read(p) // blocks until the application sends
	})
	app.Write([]byte("hello "))
	wg.Wait()
	wg.Go(func() { io.Copy(io.Discard, first) })
	second := make(chan io.Reader)
	go func() {
		r, err := b.Reader()
		if err != nil {
			t.Error(err)
		}
		second <- r
	}()
	wg.Go(func() {
		app.Write([]byte("world"))
		app.Close()
	})
	r := <-second
	got, err := io.ReadAll(r)
	wg.Wait()
	if string(got) != "hello world" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if n, err := first.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the first reader went on: %d, %v", n, err)
	}
}

// TestBodyOneReader: a new reader cuts off the one before it.
func TestBodyOneReader(t *testing.T) {
	b := policy.NewBody(strings.NewReader("hello"), 5, 1<<10)
	first, _ := b.Reader()
	io.ReadFull(first, make([]byte, 2))
	second, _ := b.Reader()
	if n, err := first.Read(make([]byte, 9)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("the first went on: %d, %v", n, err)
	}
	if got, err := io.ReadAll(second); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBodyBrokenOff: what the application broke off is its doing, every time.
func TestBodyBrokenOff(t *testing.T) {
	b := policy.NewBody(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), 100, 1<<10)
	for range 2 {
		r, _ := b.Reader()
		got, err := io.ReadAll(r)
		if string(got) != "half" || !errors.Is(err, policy.ErrRequestBody) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := b.Bytes(); !errors.Is(err, policy.ErrRequestBody) {
		t.Error(err)
	}
}

// FuzzBody: whatever readers come one after another, reading as they like,
// each sees the source from its beginning, or there is none.
func FuzzBody(f *testing.F) {
	f.Add([]byte("hello world"), int64(5), []byte{3, 0, 4, 200, 0, 9}, false)
	f.Add(bytes.Repeat([]byte("ab"), 400), int64(800), []byte{255, 255, 0, 255, 1, 255, 255, 255, 255}, true)
	f.Add([]byte(""), int64(0), []byte{0, 0, 1}, false)
	f.Fuzz(func(t *testing.T, source []byte, limit int64, moves []byte, announced bool) {
		if limit < 0 || limit > 1<<16 {
			return
		}
		length := int64(-1)
		if announced {
			length = int64(len(source))
		}
		b := policy.NewBody(iotest.HalfReader(bytes.NewReader(source)), length, limit)
		var r io.Reader
		at := 0
		for _, m := range moves {
			switch {
			case m == 0 || r == nil:
				next, err := b.Reader()
				if err != nil {
					if b.Replayable() {
						t.Fatalf("said to be replayable: %v", err)
					}
					return
				}
				r, at = next, 0
			case m == 1:
				p, err := b.Bytes()
				if err == nil && !bytes.Equal(p, source) || err != nil && b.Replayable() && int64(len(source)) <= limit {
					t.Fatalf("Bytes = %q, %v", p, err)
				}
			case m == 2:
				var w bytes.Buffer
				n, err := io.Copy(&w, r)
				if err != nil || int(n) != w.Len() || !bytes.Equal(w.Bytes(), source[at:]) {
					t.Fatalf("copied %q, %v", w.Bytes(), err)
				}
				at = len(source)
			default:
				p := make([]byte, m)
				n, err := r.Read(p)
				if !bytes.HasPrefix(source[at:], p[:n]) || err == io.EOF && at+n != len(source) || err != nil && err != io.EOF {
					t.Fatalf("at %d read %q, %v", at, p[:n], err)
				}
				at += n
			}
		}
	})
}
