//go:build linux

package policy_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/policy"
)

// sentence is what must not be found on a disk.
var sentence = []byte("the card is 4242 4242 4242 4242; ")

func text(size int) []byte { return bytes.Repeat(sentence, size/len(sentence)+1)[:size] }

// whole reads a body from the beginning.
func whole(t *testing.T, b *policy.Body) []byte {
	t.Helper()
	r, err := b.Reader()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.HalfReader(r))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// descriptors counts the files that this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd here")
	}
	return len(list)
}

// TestP20Sealed: a long body is sent again from a file that has no name, that
// only its owner can read, and that holds nothing of it in plain text.
func TestP20Sealed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	before := descriptors(t)
	want := text(3<<20 + 12345)
	b := policy.NewBody(bytes.NewReader(want), int64(len(want)), 8<<20)
	for range 3 {
		if got := whole(t, b); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, not what was sent", len(got))
		}
	}
	f := b.File()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 || info.Sys().(*syscall.Stat_t).Nlink != 0 {
		t.Errorf("mode %v, %d names", mode, info.Sys().(*syscall.Stat_t).Nlink)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v, %v", left, err)
	}
	disk := make([]byte, info.Size())
	if _, err := f.ReadAt(disk, 0); err != nil {
		t.Fatal(err)
	}
	if len(disk) < 2<<20 || bytes.Contains(disk, sentence[:8]) {
		t.Errorf("%d bytes on disk, with plain text", len(disk))
	}
	b.Close()
	if after := descriptors(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

// TestSpoolTampered: what somebody else wrote into the file is never sent.
func TestSpoolTampered(t *testing.T) {
	sealed := int64(policy.Chunk + 16)
	for name, harm := range map[string]func(f *os.File) error{
		"a bit": func(f *os.File) error {
			one := make([]byte, 1)
			f.ReadAt(one, sealed+5)
			_, err := f.WriteAt([]byte{one[0] ^ 1}, sealed+5)
			return err
		},
		"chunks change places": func(f *os.File) error {
			p := make([]byte, sealed)
			f.ReadAt(p, 0)
			_, err := f.WriteAt(p, sealed)
			return err
		},
		"cut off": func(f *os.File) error { return f.Truncate(sealed + 1) },
	} {
		t.Run(name, func(t *testing.T) {
			want := text(5 * policy.Chunk)
			b := policy.NewBody(bytes.NewReader(want), -1, 1<<30).InFile(100, nil)
			defer b.Close()
			whole(t, b)
			if err := harm(b.File()); err != nil {
				t.Fatal(err)
			}
			r, _ := b.Reader()
			got, err := io.ReadAll(r)
			if !errors.Is(err, policy.ErrCopy) || !bytes.HasPrefix(want, got) || errors.Is(err, policy.ErrRequestBody) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if _, err := b.Reader(); err == nil || b.Replayable() {
				t.Error("it is said to be replayable")
			}
		})
	}
}

// TestP20NoRoom: without room for a copy the body goes through whole, once.
func TestP20NoRoom(t *testing.T) {
	full := func() (*os.File, error) { return os.OpenFile("/dev/full", os.O_RDWR, 0) }
	if f, err := full(); err != nil {
		t.Skip("no /dev/full here")
	} else {
		f.Close()
	}
	for name, c := range map[string]struct {
		open func() (*os.File, error)
		want error
	}{
		"the disk is full": {full, syscall.ENOSPC},
		"no folder":        {func() (*os.File, error) { return os.CreateTemp("/nowhere", "x") }, os.ErrNotExist},
		"too many files":   {func() (*os.File, error) { return nil, syscall.EMFILE }, syscall.EMFILE},
	} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			want := text(4*policy.Chunk + 7)
			b := policy.NewBody(iotest.HalfReader(bytes.NewReader(want)), int64(len(want)), 1<<30).InFile(1000, policy.Opener(c.open))
			if got := whole(t, b); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes came through of %d", len(got), len(want))
			}
			if !errors.Is(b.Lost(), c.want) || b.Replayable() {
				t.Errorf("lost by %v", b.Lost())
			}
			if _, err := b.Reader(); !errors.Is(err, policy.ErrNotReplayable) {
				t.Errorf("a second reader: %v", err)
			}
			b.Close()
			if after := descriptors(t); after != before {
				t.Errorf("%d files are open, %d were", after, before)
			}
		})
	}
}

// TestBodyClosed: closing waits for nobody, and what comes later makes no file.
func TestBodyClosed(t *testing.T) {
	before := descriptors(t)
	src, app := io.Pipe()
	b := policy.NewBody(src, -1, 1<<30).InFile(10, nil)
	r, _ := b.Reader()
	done := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, r)
		done <- err
	}()
	app.Write(text(100))
	b.Close() // a read of the source is under way
	app.Write(text(100))
	app.Close()
	if err := <-done; err != nil {
		t.Errorf("what streams goes on: %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

// TestBodyModel: wherever the copy is, every reader sees the source from its
// beginning, and so does who needs all of it.
func TestBodyModel(t *testing.T) {
	before := descriptors(t)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(0, 5*policy.Chunk).Draw(rt, "size")
		source := make([]byte, size)
		for i, rnd := 0, rand.New(rand.NewPCG(1, uint64(size))); i < size; i++ {
			source[i] = byte(rnd.Uint32())
		}
		limit := rapid.Int64Range(0, 6*policy.Chunk).Draw(rt, "limit")
		length := rapid.SampledFrom([]int64{-1, int64(size)}).Draw(rt, "length")
		b := policy.NewBody(bytes.NewReader(source), length, limit).InFile(rapid.Int64Range(0, 2*policy.Chunk).Draw(rt, "memory"), nil)
		defer b.Close()
		var r io.Reader
		at := 0
		for range rapid.IntRange(1, 12).Draw(rt, "moves") {
			switch rapid.IntRange(0, 5).Draw(rt, "move") {
			case 0:
				next, err := b.Reader()
				if err != nil {
					if b.Replayable() || int64(size) <= limit {
						rt.Fatalf("no reader: %v", err)
					}
					continue
				}
				r, at = next, 0
			case 1:
				p, err := b.Bytes()
				if err == nil && !bytes.Equal(p, source) || err != nil && int64(size) <= limit {
					rt.Fatalf("Bytes: %d of %d, %v", len(p), size, err)
				}
			default:
				if r == nil {
					continue
				}
				p := make([]byte, rapid.IntRange(1, 2*policy.Chunk).Draw(rt, "n"))
				n, err := io.ReadFull(r, p)
				if !bytes.HasPrefix(source[at:], p[:n]) || err != nil && at+n != size {
					rt.Fatalf("at %d: %d bytes, %v", at, n, err)
				}
				at += n
			}
		}
	})
	if after := descriptors(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}
