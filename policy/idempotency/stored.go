package idempotency

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// stored is an answer as it is kept. Header values are bytes, not text.
type stored struct {
	Status          int
	Outcome         policy.Outcome
	Header, Trailer http.Header
	Body            []byte
}

// bound ties what is sealed to the key and its scope: moved to another row it
// cannot be opened.
func bound(id ID) []string { return []string{"idempotency", hex.EncodeToString(id[:])} }

// keptHeader is a header without cookies, without what concerns a connection (RFC
// 9110 §7.6.1), and without what only Postern may say. Values are shared.
func keptHeader(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		switch name {
		case "Set-Cookie", "Set-Cookie2", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
			continue
		}
		if !strings.HasPrefix(name, "Postern-") {
			out[name] = values
		}
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(out, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return out
}

// encode writes numbers as varints and texts with their length before them.
func (s *stored) encode() []byte {
	out := make([]byte, 0, 512+len(s.Body))
	out = binary.AppendUvarint(out, uint64(s.Status))
	out = appendText(out, string(s.Outcome))
	for _, h := range []http.Header{s.Header, s.Trailer} {
		out = binary.AppendUvarint(out, uint64(len(h)))
		for _, name := range slices.Sorted(maps.Keys(h)) {
			out = appendText(out, name)
			out = binary.AppendUvarint(out, uint64(len(h[name])))
			for _, v := range h[name] {
				out = appendText(out, v)
			}
		}
	}
	return append(out, s.Body...)
}

func appendText(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

var errStored = errors.New("a stored answer cannot be read: another version of Postern wrote it")

// decode reads what encode wrote.
func decode(p []byte) (*stored, error) {
	d := decoder{p: p}
	s := &stored{Status: int(d.number()), Outcome: policy.Outcome(d.text())}
	for _, h := range []*http.Header{&s.Header, &s.Trailer} {
		*h = http.Header{}
		for n := d.number(); n > 0 && !d.bad; n-- {
			name := d.text()
			for m := d.number(); m > 0 && !d.bad; m-- {
				(*h)[name] = append((*h)[name], d.text())
			}
		}
	}
	if s.Body = d.p; d.bad || s.Status < 200 || s.Status > 999 || !s.Outcome.Valid() {
		return nil, errStored
	}
	return s, nil
}

type decoder struct {
	p   []byte
	bad bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.p)
	if size <= 0 {
		d.bad = true
		return 0
	}
	d.p = d.p[size:]
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if d.bad || n > uint64(len(d.p)) {
		d.bad = true
		return ""
	}
	s := string(d.p[:n])
	d.p = d.p[n:]
	return s
}

// decodeFor undoes a coding that the application did not ask for this time.
func (s *stored) decodeFor(r *http.Request) {
	if !strings.EqualFold(s.Header.Get("Content-Encoding"), "gzip") || strings.Contains(strings.ToLower(strings.Join(r.Header["Accept-Encoding"], ",")), "gzip") {
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(s.Body))
	if err != nil {
		return
	}
	plain, err := io.ReadAll(io.LimitReader(z, largestKept+1))
	if err != nil || len(plain) > largestKept {
		return
	}
	s.Body = plain
	delete(s.Header, "Content-Encoding")
	if s.Header["Content-Length"] != nil {
		s.Header["Content-Length"] = []string{strconv.Itoa(len(plain))}
	}
}

// replay answers from the store.
func (b *Block) replay(x *policy.Exchange, r *http.Request, c *Claim, s Standing) (*http.Response, error) {
	ring, err := b.live.Ring()
	var plain []byte
	if err == nil {
		plain, err = ring.Open(s.Answer, bound(c.ID)...)
	}
	var a *stored
	if err == nil {
		a, err = decode(plain)
	}
	if err != nil {
		if b.live.Told != nil {
			b.live.Told("opening the answer under an idempotency key", err)
		}
		s.Found, s.Acted, s.Why = Open, true, "the stored one cannot be opened"
		return nil, b.refuse(x, s)
	}
	a.decodeFor(r)
	x.Source, x.Outcome = policy.Replayed, a.Outcome
	x.Note("idempotency", "replayed_after", ago(s.Age).String())
	a.Header["Idempotent-Replayed"] = []string{"true"}
	resp := &http.Response{
		StatusCode: a.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: a.Header, Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: int64(len(a.Body)),
	}
	if len(a.Trailer) > 0 {
		resp.Trailer = a.Trailer
	}
	x.Response = resp
	return resp, nil
}
