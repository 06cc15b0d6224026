package policy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrNotReplayable says that there is no copy of a body, so that it cannot be
// sent a second time.
var ErrNotReplayable = errors.New("there is no copy of the request body")

// ErrTooLarge says that a body does not fit the buffer, where all of it is needed.
var ErrTooLarge = errors.New("the request body is longer than the buffer")

// ErrCopy says that the copy of a body could not be read: nobody but this machine
// is to blame.
var ErrCopy = errors.New("read the request body back from a temporary file")

// ErrRequestBody says that the application broke off its request body.
var ErrRequestBody = errors.New("the application broke off its request body")

const (
	// InMemory is how much of a body is kept in memory, in bytes: as much as the
	// default buffer, so that nothing goes to a file unless a policy asks for it.
	InMemory = 1 << 20
	// MostWhole is up to what length a body is read where all of it is needed.
	MostWhole = 64 << 20
)

// Body is a request body. It is spooled while it is sent, so that it can be
// sent again, hashed or rewritten, up to a limit of bytes; past the limit it
// streams and cannot be replayed. The first [InMemory] bytes are kept in memory,
// the others in a sealed temporary file (spool.go).
//
// Two readers never read the source at once: a new one waits until a read that
// is under way in an old one returns.
type Body struct {
	mu     sync.Mutex
	src    io.Reader
	length int64 // as announced; -1 is unknown
	limit  int64
	memory int64 // how much goes to buf
	open   opener
	buf    []byte                // what was read of src so far, while it fits
	rest   atomic.Pointer[spool] // what comes after buf; nil is nothing
	ended  error                 // what src ended with: io.EOF or a failure
	over   bool                  // it has outgrown limit: nothing more is kept
	gen    int                   // the current reader
	lost   atomic.Pointer[error] // why there is no copy
	closed atomic.Bool
	read   atomic.Bool // the source was
}

// NewBody wraps src, of length bytes or -1 for unknown. A nil src is empty.
// Who made it closes it.
func NewBody(src io.Reader, length, limit int64) *Body {
	if src == nil || length == 0 {
		return &Body{length: 0, limit: limit, ended: io.EOF}
	}
	return &Body{src: src, length: length, limit: limit, memory: InMemory, open: temporary}
}

// Len is the length in bytes, -1 if it is not known.
func (b *Body) Len() int64 { return b.length }

// Replayable reports whether another reader can start from the beginning, as
// far as is known now: a body of unknown length may still outgrow the limit.
func (b *Body) Replayable() bool { return b.Lost() == nil }

// Unread reports whether nothing was read of the source yet, so that no copy is
// needed to begin again.
func (b *Body) Unread() bool { return !b.read.Load() }

// Lost says why there is no copy of the body, nil if there is one: it is longer
// than the limit ([ErrTooLarge]), or it could not be kept.
func (b *Body) Lost() error {
	if err := b.lost.Load(); err != nil {
		return *err
	}
	if b.length > b.limit {
		return ErrTooLarge
	}
	return nil
}

// Reader returns a reader of the whole body, from the beginning. The one
// returned before is cut off. It fails with [ErrNotReplayable].
func (b *Body) Reader() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost.Load() != nil {
		return nil, ErrNotReplayable
	}
	b.gen++
	return &bodyReader{b: b, gen: b.gen}, nil
}

// Held reports whether a read of the source is under way, for which a new reader
// waits: as long as the application takes to send more.
func (b *Body) Held() bool {
	if !b.mu.TryLock() {
		return true
	}
	b.mu.Unlock()
	return false
}

// Bytes reads all of the body into memory. It fails with [ErrTooLarge] past the
// limit or [MostWhole], or with the error of the source. The caller must not
// change the result.
func (b *Body) Bytes() ([]byte, error) {
	most := min(b.limit, MostWhole)
	if b.length > most {
		return nil, ErrTooLarge
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fetch(most); err != nil {
		return nil, err
	}
	for b.ended == nil && !b.over && int64(len(b.buf)) <= most {
		b.fill(max(512, len(b.buf), int(min(b.length, most))-len(b.buf)+1), most) // one more shows the end
	}
	switch {
	case b.over, int64(len(b.buf)) > most:
		return nil, ErrTooLarge
	case b.ended != io.EOF:
		return nil, b.ended
	}
	return b.buf, nil
}

// Replace makes p the body: later readers send it.
func (b *Body) Replace(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest.Swap(nil).close()
	b.buf, b.ended, b.over, b.length = p, io.EOF, false, int64(len(p))
	b.lost.Store(nil)
	b.gen++
}

// Close gives back what the copy takes. It does not wait for the source. What
// still reads the body gets no more of the copy.
func (b *Body) Close() {
	b.closed.Store(true)
	b.rest.Load().close()
}

// fetch brings what is in the file into memory. Called with mu held.
func (b *Body) fetch(most int64) error {
	rest := b.rest.Load()
	if rest == nil {
		return nil
	}
	size := rest.size()
	if int64(len(b.buf))+size > most {
		return ErrTooLarge
	}
	all := make([]byte, int64(len(b.buf))+size)
	for at := int64(copy(all, b.buf)); at < int64(len(all)); {
		n, err := rest.read(all[at:], at-int64(len(b.buf)))
		if err != nil {
			b.lose(err)
			return err
		}
		at += int64(n)
	}
	b.rest.Store(nil)
	rest.close()
	b.buf = all
	return nil
}

// fill reads up to n more bytes of the source into buf, where all of most bytes
// may be. Called with mu held.
func (b *Body) fill(n int, most int64) {
	at := len(b.buf)
	if n = min(n, int(most)-at+1); cap(b.buf)-at < n {
		b.buf = slices.Grow(b.buf, n)
	}
	got, err := b.source(b.buf[at : at+n])
	b.buf = b.buf[:at+got]
	b.ended = err
	b.over = int64(len(b.buf)) > b.limit
}

// kept is how many bytes there are a copy of. Called with mu held.
func (b *Body) kept() int64 {
	n := int64(len(b.buf))
	if rest := b.rest.Load(); rest != nil {
		n += rest.size()
	}
	return n
}

// keep keeps more of the source. Called with mu held.
func (b *Body) keep(p []byte) error {
	rest := b.rest.Load()
	if need := len(b.buf) + len(p); rest == nil && int64(need) <= b.memory {
		if cap(b.buf) < need {
			want := b.length // then once
			if want < 0 {
				want = 2 * int64(need)
			}
			b.buf = slices.Grow(b.buf, max(need, int(min(want, b.memory)))-len(b.buf))
		}
		b.buf = append(b.buf, p...)
		return nil
	}
	if rest == nil {
		var err error
		if rest, err = newSpool(b.open); err != nil {
			return err
		}
		if b.rest.Store(rest); b.closed.Load() {
			rest.close() // whoever closed may not have seen it
		}
	}
	return rest.append(p)
}

// lose gives the copy up. Called with mu held.
func (b *Body) lose(why error) {
	b.rest.Load().close()
	b.over, b.buf = true, nil
	b.lost.CompareAndSwap(nil, &why)
}

// source reads the source. What it fails with is the application's doing.
func (b *Body) source(p []byte) (int, error) {
	b.read.Store(true)
	n, err := b.src.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", ErrRequestBody, err)
	}
	return n, err
}

// bodyReader is one pass over a Body.
type bodyReader struct {
	b   *Body
	gen int
	at  int64
}

var errReaderReplaced = errors.New("this attempt's body was replaced by a later one")

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.gen != b.gen:
		return 0, errReaderReplaced
	case r.at < int64(len(b.buf)):
		n := copy(p, b.buf[r.at:])
		r.advance(n)
		return n, nil
	case b.lost.Load() == nil && r.at < b.kept():
		n, err := b.rest.Load().read(p, r.at-int64(len(b.buf)))
		if err != nil {
			b.lose(err)
			b.ended = err
			return 0, err
		}
		r.advance(n)
		return n, nil
	case b.ended != nil:
		return 0, b.ended
	}
	n, err := b.source(p)
	b.ended = err
	switch {
	case b.over: // it only streams
	case b.length > b.limit || b.kept()+int64(n) > b.limit:
		b.lose(ErrTooLarge)
	default:
		if err := b.keep(p[:n]); err != nil {
			b.lose(err)
		}
	}
	r.at += int64(n)
	return n, err
}

// advance goes on within the copy. At the end of one that has outgrown the limit
// it is given up: from here on the body only streams through r. Called with mu
// held.
func (r *bodyReader) advance(n int) {
	b := r.b
	if r.at += int64(n); b.over && r.at == b.kept() {
		b.lose(ErrTooLarge)
	}
}

// WriteTo sends a body that is in memory already in one write.
func (r *bodyReader) WriteTo(w io.Writer) (n int64, err error) {
	b := r.b
	b.mu.Lock()
	whole := r.gen == b.gen && b.ended == io.EOF && !b.over && b.rest.Load() == nil
	var rest []byte
	if whole {
		rest, r.at = b.buf[min(r.at, int64(len(b.buf))):], int64(len(b.buf))
	}
	b.mu.Unlock()
	if whole {
		m, err := w.Write(rest)
		return int64(m), err
	}
	return io.Copy(w, struct{ io.Reader }{r})
}

// Close ends this pass; the body itself stays.
func (r *bodyReader) Close() error { return nil }
