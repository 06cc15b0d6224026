package fallback

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// largest is how many bytes of a body are kept.
const largest = 1 << 20

// answer is a good answer that was given to the application as a whole. It is
// immutable.
type answer struct {
	at     time.Time // when its head was there
	header http.Header
	body   []byte
	keys   []string // fingerprints of the policy's keys that it was asked for with
}

// good reports whether an answer may be given again: a 200 by the provider, for
// anybody who may ask the same, and not a stream (P18, C47).
func good(x *policy.Exchange, r *http.Request, resp *http.Response) bool {
	h := resp.Header
	switch {
	case resp.StatusCode != http.StatusOK, x.Outcome != policy.OK, x.Source != "" && x.Source != policy.FromProvider:
		return false
	case directive(h, "no-store"), directive(h, "private"), h["Set-Cookie"] != nil, h["Content-Range"] != nil, len(resp.Trailer) > 0, resp.Body == nil:
		return false
	case resp.ContentLength > largest && r.Method != http.MethodHead, streams(h), !encoded(r.Header, h):
		return false
	case resp.ContentLength < 0 && resp.ProtoMajor == 1 && resp.TransferEncoding == nil && r.Method != http.MethodHead: // its end is that of the connection, which may have broken
		return false
	}
	for _, v := range h["Vary"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); name == "*" || ignored(name) {
				return false
			}
		}
	}
	return true
}

// streams reports whether an answer is a stream by its type.
func streams(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "text/event-stream" || kind == "application/x-ndjson" || kind == "application/jsonl" || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "application/grpc")
}

// encoded reports whether an answer is encoded as it may be: not at all, or in one
// way that was asked for.
func encoded(request, answer http.Header) bool {
	how := answer.Get("Content-Encoding")
	return how == "" || strings.EqualFold(how, "identity") || len(answer["Content-Encoding"]) == 1 && strings.Contains(strings.ToLower(request.Get("Accept-Encoding")), strings.ToLower(how))
}

// kept is what of a header is kept: nothing about the connection, and no limits or
// ids of a call that is long over.
func kept(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		low := strings.ToLower(name)
		switch {
		case slices.Contains([]string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Alt-Svc", "Retry-After"}, name):
		case strings.Contains(low, "ratelimit"), strings.Contains(low, "rate-limit"), strings.HasPrefix(low, "postern-"):
		default:
			out[name] = slices.Clone(values)
		}
	}
	return out
}

// record keeps an answer once the application has read it to its end.
func (b *Block) record(id ID, x *policy.Exchange, resp *http.Response) {
	a := &answer{at: time.Now(), header: kept(resp.Header)}
	held := keysOf(x.Plan)
	for print := range strings.SplitSeq(x.Keys, ",") {
		if slices.Contains(held, print) {
			a.keys = append(a.keys, print)
		}
	}
	if resp.Body == http.NoBody {
		b.kept.put(id, a, b.Stale.Duration)
		return
	}
	resp.Body = &recorder{ReadCloser: resp.Body, length: resp.ContentLength, whole: func(body []byte) {
		if how := resp.Header.Get("Content-Encoding"); strings.EqualFold(how, "gzip") && !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
			return // it is not what it says
		}
		a.body = body
		b.kept.put(id, a, b.Stale.Duration)
	}}
}

// recorder copies a body as it is read.
type recorder struct {
	io.ReadCloser
	length int64 // as announced; -1 is not
	buf    bytes.Buffer
	whole  func([]byte) // nil once it was called, or the body is too long or broken
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.whole == nil {
		return n, err
	}
	if r.buf.Len()+n > largest {
		r.whole, r.buf = nil, bytes.Buffer{}
		return n, err
	}
	r.buf.Write(p[:n])
	switch {
	case err == io.EOF: //nolint:errorlint // as io.Reader has it
		r.end(r.length < 0 || int64(r.buf.Len()) == r.length)
	case err != nil:
		r.end(false)
	}
	return n, err
}

func (r *recorder) end(whole bool) {
	if f := r.whole; f != nil && whole {
		f(r.buf.Bytes())
	}
	r.whole = nil
}

// Close is an end, too, if all that was announced has been read.
func (r *recorder) Close() error {
	r.end(r.length >= 0 && int64(r.buf.Len()) == r.length)
	return r.ReadCloser.Close()
}

// had reports whether the keys by which the answer was asked for are still the
// policy's: with another one it may be the answer of another account.
func (a *answer) had(x *policy.Exchange) bool {
	held := keysOf(x.Plan)
	for _, k := range a.keys {
		if !slices.Contains(held, k) {
			return false
		}
	}
	return true
}

// response is the answer as it is given now, with its age (RFC 9111 section 5.1).
func (a *answer) response(r *http.Request) *http.Response {
	resp := &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}
	age := max(0, time.Since(a.at))
	if n, err := strconv.Atoi(a.header.Get("Age")); err == nil && n > 0 {
		age += time.Duration(min(n, 1<<31)) * time.Second
	}
	resp.Header["Age"] = []string{strconv.FormatInt(int64(age/time.Second), 10)}
	if r.Method == http.MethodHead {
		resp.Body, resp.ContentLength = http.NoBody, -1
		if n, err := strconv.ParseInt(a.header.Get("Content-Length"), 10, 64); err == nil {
			resp.ContentLength = n
		}
		return resp
	}
	resp.Header["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	return resp
}

// head is what stands before the body where an answer is stored.
type head struct {
	At     int64               // microseconds since 1970
	Header map[string][][]byte // bytes, not text: JSON alone would change what is not UTF-8
	Keys   []string            `json:",omitempty"`
}

// encode is an answer as bytes: the length of its head, its head, its body.
func (a *answer) encode() ([]byte, error) {
	h := head{a.at.UnixMicro(), make(map[string][][]byte, len(a.header)), a.keys}
	for name, values := range a.header {
		for _, v := range values {
			h.Header[name] = append(h.Header[name], []byte(v))
		}
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	out := binary.AppendUvarint(make([]byte, 0, len(text)+len(a.body)+8), uint64(len(text)))
	return append(append(out, text...), a.body...), nil
}

var errForm = errors.New("it is not in the form of a kept answer")

func decode(p []byte) (*answer, error) {
	n, used := binary.Uvarint(p)
	if used <= 0 || n > uint64(len(p)-used) {
		return nil, errForm
	}
	text, body := p[used:used+int(n)], p[used+int(n):]
	var h head
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, errForm
	}
	a := &answer{at: time.UnixMicro(h.At), header: make(http.Header, len(h.Header)), keys: h.Keys, body: body}
	for name, values := range h.Header {
		for _, v := range values {
			a.header[name] = append(a.header[name], string(v))
		}
	}
	return a, nil
}
