package credential

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"mime"
	"strconv"
	"sync"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// A body that is compressed cannot be masked while it flows: its bytes have to
// stay as they are (pitfall P11). So it is held back until it is known to be
// clean, and then passed on untouched. One with an injected value in it is
// passed on masked, and not compressed any more. What is longer than
// policy.PeekLimit, compressed or not, or takes longer than heldFor, is passed on
// when that shows, and the alarm says if it should not have been.
const heldFor = time.Second

// unpack looks into a compressed body. Where there are credentials, no other
// coding than gzip is asked for; deflate comes unasked.
func (m *masked) unpack(coding string) {
	kind, _, _ := mime.ParseMediaType(m.resp.Header.Get("Content-Type"))
	if kind == "text/event-stream" || coding != "gzip" && coding != "x-gzip" && coding != "deflate" {
		return
	}
	start := time.Now()
	a := readAhead(m.src, policy.PeekLimit)
	packed, end := a.wait(heldFor)
	m.x.Upstream += time.Since(start)
	m.src = a
	plain, all := decode(coding, packed)
	switch {
	case !m.echo.in(plain):
	case end != nil && (all || end != io.EOF):
		m.look(plain)
		if end != io.EOF { // the beginning of a form, cut off: its rest was on the way
			plain = plain[:len(plain)-m.echo.tail(plain)]
		}
		m.src = &plainBody{io.MultiReader(bytes.NewReader(plain), ending{end}), a}
		m.resp.Header.Del("Content-Encoding")
		m.resp.ContentLength = int64(len(plain))
		if m.resp.Header.Get("Content-Length") != "" {
			m.resp.Header.Set("Content-Length", strconv.Itoa(len(plain)))
		}
	default:
		m.alarm(false)
		m.x.Note("credential", "echoed", "the provider echoed an injected value in a compressed answer that is too long, or too slow, to be masked")
	}
}

// plainBody is what a compressed body held.
type plainBody struct {
	io.Reader
	io.Closer
}

// ending is how reading a body ended.
type ending struct{ err error }

func (e ending) Read([]byte) (int, error) { return 0, e.err }

// decode returns up to policy.PeekLimit bytes of what packed holds, and whether
// that is all of it.
func decode(coding string, packed []byte) (plain []byte, all bool) {
	r, err := open(coding, packed)
	if err != nil {
		return nil, false
	}
	plain, err = io.ReadAll(io.LimitReader(r, policy.PeekLimit+1))
	return plain, err == nil && len(plain) <= policy.PeekLimit
}

func open(coding string, packed []byte) (io.Reader, error) {
	if coding != "deflate" {
		return gzip.NewReader(bytes.NewReader(packed))
	}
	z, err := zlib.NewReader(bytes.NewReader(packed)) // as it should be (RFC 9110 §8.4.1.2)
	if err != nil {
		return flate.NewReader(bytes.NewReader(packed)), nil // as some servers have it
	}
	return z, nil
}

// ahead is a body that is read before anybody asks for it.
type ahead struct {
	src io.ReadCloser

	mu    sync.Mutex
	moved *sync.Cond // what follows changed
	head  []byte     // read, not yet given
	err   error      // what reading ended with
	over  bool       // nothing more is read ahead
	stop  bool       // nothing more should be
}

// readAhead reads up to limit bytes of src.
func readAhead(src io.ReadCloser, limit int) *ahead {
	a := &ahead{src: src}
	a.moved = sync.NewCond(&a.mu)
	go a.fill(limit)
	return a
}

func (a *ahead) fill(limit int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for total, p := 0, make([]byte, 16<<10); total < limit && a.err == nil && !a.stop; {
		a.mu.Unlock()
		n, err := a.src.Read(p)
		a.mu.Lock()
		total += n
		a.head, a.err = append(a.head, p[:n]...), err
		a.moved.Broadcast()
	}
	a.over = true
	a.moved.Broadcast()
}

// wait waits until enough was read, at most for d. It returns what was, and how
// the body ended, nil if it goes on.
func (a *ahead) wait(d time.Duration) (head []byte, end error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	late := time.AfterFunc(d, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.stop = true
		a.moved.Broadcast()
	})
	defer late.Stop()
	for !a.over && !a.stop {
		a.moved.Wait()
	}
	return a.head, a.err
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	a.mu.Lock()
	for len(a.head) == 0 && !a.over {
		a.moved.Wait()
	}
	n, err := copy(p, a.head), a.err
	a.head = a.head[n:]
	left := len(a.head)
	a.mu.Unlock()
	switch {
	case n > 0 && left > 0:
		return n, nil
	case n > 0 || err != nil:
		return n, err
	}
	return a.src.Read(p)
}

func (a *ahead) Close() error { return a.src.Close() }
