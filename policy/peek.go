package policy

import (
	"bytes"
	"compress/gzip"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// PeekLimit is how many bytes of an answer expressions may read.
const PeekLimit = 1 << 20

// peeked is the copy of the answer's body that expressions read.
type peeked struct {
	of    *http.Response
	body  []byte
	found []found
}

// found is what an answer's body has at a path.
type found struct {
	path  string
	value block.Value
}

// answered is what the body of the current answer has at a path. It is looked for
// once: the rules of a policy ask for the same ones again and again.
func (x *Exchange) answered(path string) block.Value {
	body := x.Answer()
	for i := range x.peek.found {
		if x.peek.found[i].path == path {
			return x.peek.found[i].value
		}
	}
	v := parsed(x.Response.Header, body, path)
	x.peek.found = append(x.peek.found, found{path, v})
	return v
}

// Answer returns the beginning of the body of the current answer, decoded, up
// to [PeekLimit] bytes, for expressions to read. The body itself stays whole
// for the application. It is empty where reading would hold up a stream: event
// streams, upgrades, encodings other than gzip.
func (x *Exchange) Answer() []byte {
	resp := x.Response
	switch {
	case resp == nil:
		return nil
	case x.peek.of == resp:
		return x.peek.body
	}
	x.peek = peeked{of: resp}
	if !peekable(resp) {
		return nil
	}
	var head bytes.Buffer
	_, err := io.CopyN(&head, resp.Body, PeekLimit)
	resp.Body = &prefixed{head.Bytes(), resp.Body, err}
	x.peek.body = head.Bytes()
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		x.peek.body = gunzip(head.Bytes())
	}
	return x.peek.body
}

func peekable(resp *http.Response) bool {
	if resp.Body == nil || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols || resp.ContentLength > PeekLimit {
		return false
	}
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity", "gzip":
	default:
		return false
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "application/x-www-form-urlencoded" || kind == "application/json" ||
		strings.HasSuffix(kind, "+json") || kind == "text/json" || strings.HasPrefix(kind, "application/x-amz-json-") // AWS's JSON 1.0 and 1.1
}

// gunzip decodes up to PeekLimit bytes; what is broken or longer is not read.
func gunzip(p []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(z, PeekLimit))
	return out
}

// prefixed gives back what was read ahead, then the rest, then the error that
// reading ahead met.
type prefixed struct {
	head []byte
	rest io.ReadCloser
	err  error
}

func (p *prefixed) Read(b []byte) (int, error) {
	switch {
	case len(p.head) > 0:
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	case p.err != nil:
		return 0, p.err
	}
	return p.rest.Read(b)
}

func (p *prefixed) Close() error { return p.rest.Close() }
