package limit

import (
	"io"
	"net/http"
	"sync"
)

// atEnd calls done once, when the body of resp has been read, has failed or is
// closed. A body that is written to, too, as after an upgrade, stays so.
func atEnd(resp *http.Response, done func()) {
	if resp.Body == nil || resp.Body == http.NoBody {
		done()
		return
	}
	b := &body{ReadCloser: resp.Body, done: sync.OnceFunc(done)}
	resp.Body = b
	if both, ok := b.ReadCloser.(io.ReadWriteCloser); ok {
		resp.Body = &tunnel{body: b, Writer: both}
	}
}

// body is the body of an answer whose call is in flight until its end.
type body struct {
	io.ReadCloser
	done func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.done()
	}
	return n, err
}

func (b *body) Close() error {
	defer b.done() // then it is over for the provider, too
	return b.ReadCloser.Close()
}

// tunnel is a body after an upgrade: its call is in flight until it is closed.
type tunnel struct {
	*body
	io.Writer
}

func (t *tunnel) Read(p []byte) (int, error) { return t.body.ReadCloser.Read(p) }

// CloseWrite ends one direction, if that can be done.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.body.ReadCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Close()
}
