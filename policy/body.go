package policy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrNotReplayable says that a body was longer than the buffer, so that it
// cannot be sent a second time.
var ErrNotReplayable = errors.New("the request body is longer than the replay buffer")

// ErrTooLarge says that a body does not fit the buffer, where all of it is needed.
var ErrTooLarge = errors.New("the request body is longer than the buffer")

// ErrRequestBody says that the application broke off its request body.
var ErrRequestBody = errors.New("the application broke off its request body")

// Body is a request body. It is spooled while it is sent, so that it can be
// sent again, hashed or rewritten, up to a limit of bytes; past the limit it
// streams and cannot be replayed.
//
// Two readers never read the source at once: a new one waits until a read that
// is under way in an old one returns.
type Body struct {
	mu     sync.Mutex
	src    io.Reader
	length int64 // as announced; -1 is unknown
	limit  int64
	buf    []byte      // what was read of src so far, while it fits
	ended  error       // what src ended with: io.EOF or a failure
	over   bool        // buf has outgrown limit: nothing more is kept
	gen    int         // the current reader
	lost   atomic.Bool // bytes were sent that are not kept
}

// NewBody wraps src, of length bytes or -1 for unknown. A nil src is empty.
func NewBody(src io.Reader, length, limit int64) *Body {
	if src == nil || length == 0 {
		return &Body{length: 0, limit: limit, ended: io.EOF}
	}
	return &Body{src: src, length: length, limit: limit}
}

// Limit changes how many bytes are kept; it has to be called before the first
// read.
func (b *Body) Limit(n int64) { b.limit = n }

// Len is the length in bytes, -1 if it is not known.
func (b *Body) Len() int64 { return b.length }

// Replayable reports whether another reader can start from the beginning, as
// far as is known now: a body of unknown length may still outgrow the limit.
func (b *Body) Replayable() bool {
	return !b.lost.Load() && b.length <= b.limit
}

// Reader returns a reader of the whole body, from the beginning. The one
// returned before is cut off. It fails with [ErrNotReplayable].
func (b *Body) Reader() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost.Load() {
		return nil, ErrNotReplayable
	}
	b.gen++
	return &bodyReader{b: b, gen: b.gen}, nil
}

// Bytes reads all of the body. It fails with [ErrTooLarge] past the limit, or
// with the error of the source. The caller must not change the result.
func (b *Body) Bytes() ([]byte, error) {
	if b.length > b.limit {
		return nil, ErrTooLarge
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.ended == nil && !b.over {
		b.fill(max(512, len(b.buf), int(min(b.length, b.limit))-len(b.buf)+1)) // one more shows the end
	}
	switch {
	case b.over:
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
	b.buf, b.ended, b.over, b.length = p, io.EOF, false, int64(len(p))
	b.lost.Store(false)
	b.gen++
}

// fill reads up to n more bytes of the source into buf. Called with mu held.
func (b *Body) fill(n int) {
	at := len(b.buf)
	if n = min(n, int(b.limit)-at+1); cap(b.buf)-at < n {
		b.buf = slices.Grow(b.buf, n)
	}
	got, err := b.read(b.buf[at : at+n])
	b.buf = b.buf[:at+got]
	b.ended = err
	if int64(len(b.buf)) > b.limit {
		b.over = true
	}
}

// bodyReader is one pass over a Body.
type bodyReader struct {
	b   *Body
	gen int
	at  int
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
	case r.at < len(b.buf):
		n := copy(p, b.buf[r.at:])
		r.at += n
		if b.over && r.at == len(b.buf) {
			b.drop(r)
		}
		return n, nil
	case b.ended != nil:
		return 0, b.ended
	}
	n, err := b.read(p)
	b.ended = err
	if b.over || b.length > b.limit || int64(len(b.buf)+n) > b.limit {
		b.drop(r)
		return n, err
	}
	b.buf = append(b.buf, p[:n]...)
	r.at += n
	return n, err
}

// read reads the source. What it fails with is the application's doing.
func (b *Body) read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", ErrRequestBody, err)
	}
	return n, err
}

// drop gives up replaying: from here on the body only streams through r.
func (b *Body) drop(r *bodyReader) {
	b.over, b.buf, r.at = true, nil, 0
	b.lost.Store(true)
}

// WriteTo sends a body that is in memory already in one write.
func (r *bodyReader) WriteTo(w io.Writer) (n int64, err error) {
	b := r.b
	b.mu.Lock()
	whole := r.gen == b.gen && b.ended == io.EOF && !b.over
	var rest []byte
	if whole {
		rest, r.at = b.buf[min(r.at, len(b.buf)):], len(b.buf)
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
