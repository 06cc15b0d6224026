package inbound_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/catalog"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
	scheme "github.com/postern-proxy/postern/inbound/scheme/hmac"
)

// signature signs as a grammar of the catalogue says, written a second time and
// independently of the verifier.
type signature struct {
	name string
	g    *scheme.Grammar
	body *hclsyntax.Body // the verify block of the catalogue
}

// signatures are all of the catalogue that are made with a shared key, also those
// that are another one's by another name.
func signatures(t testing.TB) (all []signature) {
	t.Helper()
	own, _ := hclsyntax.ParseConfig([]byte(`secrets = [env("S")]`), "x.hcl", hcl.InitialPos)
	verifies := catalogVerifies(t)
	for _, name := range slices.Sorted(maps.Keys(verifies)) {
		v := verifies[name]
		for verifies[v.Labels[0]] != nil {
			v = verifies[v.Labels[0]]
		}
		if v.Labels[0] != "hmac" {
			continue
		}
		laid := block.Overlay(v.Body, own.Body.(*hclsyntax.Body))
		laid.Blocks = nil
		s := signature{name: name, g: &scheme.Grammar{}, body: v.Body}
		if diags := block.Decode(laid, block.NewContext("test", block.NewSecrets(nil)), s.g); diags.HasErrors() {
			t.Fatal(diags)
		}
		all = append(all, s)
	}
	return all
}

// catalogVerifies are the verify blocks of the catalogue, by webhook.
func catalogVerifies(t testing.TB) map[string]*hclsyntax.Block {
	t.Helper()
	names, err := fs.Glob(catalog.Files, "*.hcl")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*hclsyntax.Block{}
	for _, name := range names {
		text, err := fs.ReadFile(catalog.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			for _, v := range b.Body.Blocks {
				if b.Type == "webhook" && v.Type == "verify" {
					all[b.Labels[0]] = v
				}
			}
		}
	}
	return all
}

// verify is the verify block of a policy, with the tokens that handshakes need.
func (s *signature) verify(rest string) string {
	out := fmt.Sprintf("verify %q {\nsecrets = [env(\"SECRET\"), env(\"NEXT\")]\n%s\n", s.name, rest)
	for _, b := range s.body.Blocks {
		if b.Type == "handshake" && b.Body.Attributes["presented"] != nil && b.Body.Attributes["learn"] == nil {
			out += fmt.Sprintf("handshake %q {\ntoken = [env(\"TOKEN\")]\n}\n", b.Labels[0])
		}
	}
	return out + "}\n"
}

const public = "https://hooks.example.com"

func (s *signature) source(rest string) string {
	return fmt.Sprintf("inbound {\npublic_url = %q\n}\nwebhook \"hook\" {\npath = \"/hook\"\nmax_body = \"64KiB\"\n%sdeliver {\nto = \"http://127.0.0.1:1/\"\n}\n}\n", public, s.verify(rest))
}

// written writes a key as the provider writes secrets.
func (s *signature) written(key string) string {
	switch s.g.SecretEncoding {
	case scheme.Base64:
		return s.g.SecretPrefix + base64.StdEncoding.EncodeToString([]byte(key))
	case scheme.Hex:
		return hex.EncodeToString([]byte(key))
	}
	return key
}

func (s *signature) dated() bool {
	return s.g.Timestamp != "" || s.g.TimestampField != "" || s.g.Time != nil
}

func (s *signature) tolerance() time.Duration {
	if s.g.Tolerance == nil {
		return 5 * time.Minute
	}
	return s.g.Tolerance.Duration
}

// stamp writes a time as the provider does.
func (s *signature) stamp(at time.Time) string {
	switch s.g.Unit {
	case inbound.Millis:
		return strconv.FormatInt(at.UnixMilli(), 10)
	case inbound.RFC3339:
		return at.UTC().Format(time.RFC3339)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// content is a body that holds the time, where that is where it stands.
func (s *signature) content(stamp string) string {
	if s.g.Time == nil {
		return `{"id":"evt_1","n":1}`
	}
	path := strings.Split(s.g.Time.Refs()[0].Path, ".")
	if s.g.Unit == inbound.RFC3339 {
		stamp = strconv.Quote(stamp)
	}
	for i := len(path) - 1; i >= 0; i-- {
		stamp = fmt.Sprintf("{%q:%s}", path[i], stamp)
	}
	return strings.TrimSuffix(stamp, "}") + `,"id":"evt_1","n":1}`
}

const id, nonce = "msg_1", "n0nce"

// message is what is signed.
func (s *signature) message(key, stamp, body, uri string) string {
	if s.g.Message == nil {
		return body
	}
	var out strings.Builder
	for _, p := range s.g.Message.Parts() {
		if p.Ref == nil {
			out.Write(p.Literal)
			continue
		}
		sum := sha256.Sum256([]byte(body))
		path, _, _ := strings.Cut(uri, "?")
		out.WriteString(map[string]string{
			"raw_body": body, "timestamp": stamp, "url": public + uri, "method": "POST", "path": path, "header": id, "field": nonce, "secret": key,
			"raw_body_sha256": hex.EncodeToString(sum[:]), "raw_body_sha256_base64": base64.StdEncoding.EncodeToString(sum[:]),
		}[p.Ref.Name])
	}
	return out.String()
}

func (s *signature) hash() func() hash.Hash {
	return map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New}[s.g.Algorithm.String()]
}

// sum signs a message and writes the signature.
func (s *signature) sum(key, stamp, body, uri string) string {
	h := s.hash()()
	if s.g.SecretIn == scheme.InKey {
		h = hmac.New(s.hash(), []byte(key))
	}
	h.Write([]byte(s.message(key, stamp, body, uri)))
	return s.encode(h.Sum(nil))
}

func (s *signature) encode(sum []byte) string {
	switch s.g.Encoding {
	case scheme.Base64:
		return base64.StdEncoding.EncodeToString(sum)
	case scheme.Base64URL:
		return base64.RawURLEncoding.EncodeToString(sum)
	case scheme.Base64Hex:
		return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum)))
	}
	return hex.EncodeToString(sum)
}

// place is the name of the header that holds the signatures; "" if none does.
func (s *signature) place() string {
	if len(s.g.Headers) > 0 {
		return strings.Replace(s.g.Headers[0], "*", "1", 1)
	}
	return s.g.Header
}

// around writes the header of signatures.
func (s *signature) around(stamp string, sums ...string) string {
	var elements []string
	if s.g.TimestampField != "" {
		elements = append(elements, s.g.TimestampField+s.g.Assign+stamp)
	}
	if s.g.Message != nil {
		for _, r := range s.g.Message.Refs() {
			if r.Name == "field" {
				elements = append(elements, r.Key+s.g.Assign+nonce)
			}
		}
	}
	for _, sum := range sums {
		if sum = s.g.Prefix + sum; s.g.Field != "" {
			sum = s.g.Field + s.g.Assign + sum
		}
		elements = append(elements, sum)
	}
	return strings.Join(elements, s.g.Separator)
}

// sign returns the headers and the path of a request that is rightly signed.
func (s *signature) sign(key, stamp, body string) (http.Header, string) {
	h, uri := http.Header{}, "/hook"
	for _, name := range s.covered() {
		h.Set(name, id)
	}
	if s.g.Timestamp != "" {
		h.Set(s.g.Timestamp, stamp)
	}
	text := s.around(stamp, s.sum(key, stamp, body, uri))
	if s.place() == "" {
		return h, uri + "?signature=" + url.QueryEscape(text)
	}
	h.Set(s.place(), text)
	return h, uri
}

// covered lists the headers that are signed.
func (s *signature) covered() (names []string) {
	if s.g.Message == nil {
		return nil
	}
	for _, r := range s.g.Message.Refs() {
		if r.Name == "header" {
			names = append(names, r.Key)
		}
	}
	return names
}

// TestCatalogSignatures: what is signed as the catalogue says is accepted, from
// either secret and within the tolerance either way.
func TestCatalogSignatures(t *testing.T) {
	all := signatures(t)
	if len(all) < 45 {
		t.Fatalf("the catalogue has %d signatures", len(all))
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			b := serve(t, mustLoad(t, s.source(""), s.environ()...))
			n := 0
			accept := func(what string, h http.Header, uri, body string) {
				t.Helper()
				n++
				if got := b.post(uri, body, h); got.status != 200 {
					t.Errorf("%s: status %d, %s: %s", what, got.status, b.last(n).Result, b.last(n).Why)
				} else if r := b.last(n); r.Proof.Key == "" || r.Proof.Scheme != s.name || s.dated() == r.Proof.Signed.IsZero() {
					t.Errorf("%s: %+v is the proof", what, r.Proof)
				}
			}
			for _, key := range []string{"a secret of some length", "the secret of next month"} {
				now := s.stamp(time.Now())
				h, uri := s.sign(key, now, s.content(now))
				accept("with "+key, h, uri, s.content(now))
			}
			for what, at := range map[string]time.Time{"half the tolerance ahead": time.Now().Add(s.tolerance() / 2), "half the tolerance ago": time.Now().Add(-s.tolerance() / 2)} {
				stamp := s.stamp(at)
				h, uri := s.sign("a secret of some length", stamp, s.content(stamp))
				accept(what, h, uri, s.content(stamp))
			}
			if s.g.Encoding == scheme.Hex && s.place() != "" {
				now := s.stamp(time.Now())
				h, uri := s.sign("a secret of some length", now, s.content(now))
				h.Set(s.place(), s.around(now, strings.ToUpper(s.sum("a secret of some length", now, s.content(now), uri))))
				accept("in capitals", h, uri, s.content(now))
			}
		})
	}
}

func (s *signature) environ() []string {
	return []string{"SECRET=" + s.written("a secret of some length"), "NEXT=" + s.written("the secret of next month"), "TOKEN=a token of some length"}
}
