package idempotency_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/idempotency"
	"github.com/postern-proxy/postern/seal"
)

// TestP34Replay: a repeat is answered from the store: the same status, headers and
// bytes, without cookies and without what concerns a connection.
func TestP34Replay(t *testing.T) {
	for name, src := range map[string]string{"a key that the provider knows": kept, "a key of Postern's own": alone} {
		t.Run(name, func(t *testing.T) {
			body := "{\"id\":\"ch_1\",\"bytes\":\"\x00\xff\xfe\"}\n"
			u := &upstream{answer: func(int, *http.Request) (*http.Response, error) {
				return answer(201, body, "Content-Type", "application/json", "Date", "Mon, 02 Jan 2006 15:04:05 GMT", "X-Odd", "\xff\xfe", "X-Two", "a", "X-Two", "b",
					"Set-Cookie", "session=1", "Connection", "keep-alive, X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=5", "Postern-Id", "forged", "Content-Length", fmt.Sprint(len(body))), nil
			}}
			h := build(t, inMemory(t), u.RoundTrip, src)
			x, resp, err := h.do(keyed("order-7"))
			if got := read(t, resp, err); got != body || x.Source != "" || resp.Header.Get("Idempotent-Replayed") != "" {
				t.Fatalf("first: %q from %q", got, x.Source)
			}
			for range 3 {
				x, resp, err := h.do(keyed("order-7"))
				if got := read(t, resp, err); got != body || resp.StatusCode != 201 || x.Source != policy.Replayed || x.Outcome != policy.OK || x.Attempts != 0 || resp.ContentLength != int64(len(body)) {
					t.Errorf("%d %q from %q, %s, %d attempts", resp.StatusCode, got, x.Source, x.Outcome, x.Attempts)
				}
				want := http.Header{
					"Content-Type": {"application/json"}, "Date": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "X-Odd": {"\xff\xfe"}, "X-Two": {"a", "b"},
					"Content-Length": {fmt.Sprint(len(body))}, "Idempotent-Replayed": {"true"},
				}
				if !maps.EqualFunc(resp.Header, want, slices.Equal) {
					t.Errorf("headers %q, want %q", resp.Header, want)
				}
			}
			if u.n != 1 {
				t.Errorf("it was executed %d times", u.n)
			}
			if told := u.sent[0].Header.Get("Idempotency-Key"); told != "order-7" {
				t.Errorf("the provider was told %q", told)
			}
		})
	}
}

// TestC46Scope: another method, host, path, query, body or type under the same key
// is a mismatch; another client, account or credential knows nothing of the key.
func TestC46Scope(t *testing.T) {
	base := keyed("k")
	change := func(do func(*call)) call {
		c := base
		c.header = slices.Clone(base.header)
		do(&c)
		return c
	}
	also := func(h ...string) call { return change(func(c *call) { c.header = append(c.header, h...) }) }
	multipart := func(boundary, amount string) call {
		return change(func(c *call) {
			c.header = []string{"Idempotency-Key", "m", "Content-Type", "multipart/form-data; boundary=" + boundary}
			c.body = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n" + amount + "\r\n--" + boundary + "--\r\n"
		})
	}
	const same, mismatch, apart = "same", "mismatch", "apart"
	for name, c := range map[string]struct {
		first, then call
		want        string
	}{
		"the same":                     {base, base, same},
		"another body":                 {base, change(func(c *call) { c.body = "amount=101" }), mismatch},
		"another path":                 {base, change(func(c *call) { c.url = "https://p.example/refunds" }), mismatch},
		"another query":                {base, change(func(c *call) { c.url += "https://p.example/charges?expand=1" }), mismatch},
		"another host":                 {base, change(func(c *call) { c.url = "https://q.example/charges" }), mismatch},
		"another method":               {base, change(func(c *call) { c.method = "PATCH" }), mismatch},
		"another type":                 {base, change(func(c *call) { c.header[5] = "application/json" }), mismatch},
		"another charset":              {base, change(func(c *call) { c.header[5] += "; charset=utf-8" }), same},
		"query in another order":       {change(func(c *call) { c.url = "https://p.example/x?a=1&b=%7E2" }), change(func(c *call) { c.url = "https://p.example/x?b=~2&a=1" }), same},
		"one name twice, other order":  {change(func(c *call) { c.url = "https://p.example/x?a=1&a=2" }), change(func(c *call) { c.url = "https://p.example/x?a=2&a=1" }), mismatch},
		"another key":                  {base, keyed("K"), apart},
		"another client":               {base, change(func(c *call) { c.client = "billing" }), apart},
		"another account":              {base, change(func(c *call) { c.account = "acct_2" }), apart},
		"another bearer":               {also("Authorization", "Bearer one"), also("Authorization", "Bearer two"), apart},
		"another cookie":               {also("Cookie", "s=1"), also("Cookie", "s=2"), apart},
		"another connected account":    {also("Stripe-Account", "acct_1"), also("Stripe-Account", "acct_2"), apart},
		"another tenant":               {also("Xero-Tenant-Id", "1"), also("Xero-Tenant-Id", "2"), apart},
		"what the policy names":        {also("X-Region", "eu"), also("X-Region", "us"), apart},
		"another signature of one":     {also("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20270101/x, Signature=aa"), also("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20270102/x, Signature=bb"), same},
		"a signature of another":       {also("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20270101/x, Signature=aa"), also("Authorization", "AWS4-HMAC-SHA256 Credential=OTHER/20270101/x, Signature=aa"), apart},
		"another API key in the query": {change(func(c *call) { c.url = "https://p.example/charges?api_key=one" }), change(func(c *call) { c.url = "https://p.example/charges?api_key=two" }), apart},
		"Hawk of one":                  {also("Authorization", `Hawk id="a", ts="1", nonce="n", mac="xx="`), also("Authorization", `Hawk id="a", ts="2", nonce="m", mac="yy="`), same},
		"Hawk of another":              {also("Authorization", `Hawk id="a", ts="1", nonce="n", mac="xx="`), also("Authorization", `Hawk id="b", ts="1", nonce="n", mac="xx="`), apart},
		"a token with a nonce":         {also("Authorization", `Token token="one", nonce="n"`), also("Authorization", `Token token="two", nonce="n"`), apart},
		"WeChat Pay of another":        {also("Authorization", `WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="n",signature="x=",timestamp="1",serial_no="s"`), also("Authorization", `WECHATPAY2-SHA256-RSA2048 mchid="2",nonce_str="n",signature="x=",timestamp="1",serial_no="s"`), apart},
		"WeChat Pay of one":            {also("Authorization", `WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="n",signature="x=",timestamp="1",serial_no="s"`), also("Authorization", `WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="m",signature="y/+=",timestamp="2",serial_no="s"`), same},
		"EdgeGrid of another":          {also("Authorization", `EG1-HMAC-SHA256 client_token=c;access_token=a;timestamp=1;nonce=n;signature=x=`), also("Authorization", `EG1-HMAC-SHA256 client_token=c;access_token=b;timestamp=1;nonce=n;signature=x=`), apart},
		"Azure of one":                 {also("Authorization", `HMAC-SHA256 Credential=c&SignedHeaders=date&Signature=aa`), also("Authorization", `HMAC-SHA256 Credential=c&SignedHeaders=date&Signature=bb`), same},
		"what each attempt has anew":   {also("User-Agent", "a", "X-Request-Id", "1", "X-Stripe-Client-Telemetry", "1", "X-Stainless-Retry-Count", "0", "Date", "1"), also("User-Agent", "b", "X-Request-Id", "2", "X-Stainless-Retry-Count", "1", "Date", "2"), same},
		"a form with another boundary": {multipart("aaaa", "100"), multipart("bbbbbb", "100"), same},
		"another form, same boundary":  {multipart("aaaa", "100"), multipart("aaaa", "101"), mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) {
				return answer(200, fmt.Sprint("answer ", n)), nil
			}}
			h := build(t, inMemory(t), u.RoundTrip, strings.Replace(kept, "final", "vary = [\"x-region\"]\nmethods = [\"POST\", \"PATCH\"]\nfinal", 1))
			_, resp, err := h.do(c.first)
			first := read(t, resp, err)
			x, resp, err := h.do(c.then)
			switch c.want {
			case mismatch:
				if d := denied(t, err, policy.IdempotencyMismatch); d.Executed != policy.No || u.n != 1 || strings.Contains(d.Error(), first) {
					t.Errorf("%+v, executed %d times", d, u.n)
				}
			case same:
				if got := read(t, resp, err); got != first || x.Source != policy.Replayed || u.n != 1 {
					t.Errorf("%q from %q, executed %d times", got, x.Source, u.n)
				}
			default:
				if got := read(t, resp, err); got == first || x.Source == policy.Replayed || u.n != 2 {
					t.Errorf("%q from %q, executed %d times", got, x.Source, u.n)
				}
			}
		})
	}
}

// TestP34InFlight: a repeat of a call that has no answer yet is told when to come
// back, and after the answer gets it.
func TestP34InFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{answer: func(int, *http.Request) (*http.Response, error) {
			time.Sleep(45 * time.Second) // longer than a lease
			return answer(200, "late"), nil
		}}
		h := build(t, inMemory(t), u.RoundTrip, kept)
		got := make(chan string)
		go func() {
			_, resp, err := h.do(keyed("k"))
			got <- read(t, resp, err)
		}()
		for range 44 {
			time.Sleep(time.Second)
			_, _, err := h.do(keyed("k"))
			if d := denied(t, err, policy.IdempotencyInFlight); d.RetryAfter != time.Second || d.Executed != policy.Maybe {
				t.Fatalf("%+v", d)
			}
		}
		if text := <-got; text != "late" {
			t.Errorf("%q", text)
		}
		x, resp, err := h.do(keyed("k"))
		if text := read(t, resp, err); text != "late" || x.Source != policy.Replayed || u.n != 1 {
			t.Errorf("%q from %q, executed %d times", text, x.Source, u.n)
		}
	})
}

// TestP34DeadHolder: the process that made a call dies. Its lease ends, and what
// became of the call is as unknown as it is.
func TestP34DeadHolder(t *testing.T) {
	for name, c := range map[string]struct {
		src   string
		again bool
	}{"the provider knows the key": {kept, true}, "nobody does": {alone, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live := inMemory(t)
				u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) {
					if n == 1 {
						panic(http.ErrAbortHandler)
					}
					return answer(200, "second"), nil
				}}
				h := build(t, live, u.RoundTrip, c.src)
				func() {
					defer func() { _ = recover() }()
					_, _, _ = h.do(keyed("k"))
				}()
				_, _, err := h.do(keyed("k"))
				denied(t, err, policy.IdempotencyInFlight)
				time.Sleep(31 * time.Second)
				x, resp, err := h.do(keyed("k"))
				if !c.again {
					if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Maybe || d.Hint == "" || u.n != 1 {
						t.Errorf("%+v, sent %d times", d, u.n)
					}
					return
				}
				if got := read(t, resp, err); got != "second" || x.Source != "" || u.n != 2 {
					t.Errorf("%q, sent %d times", got, u.n)
				}
				for _, r := range u.sent {
					if r.Header.Get("Idempotency-Key") != "k" {
						t.Errorf("sent under %q", r.Header.Get("Idempotency-Key"))
					}
				}
			})
		})
	}
}

// ends is what becomes of a key: the next call with it is answered from the store,
// sent anew as if nothing had been, sent again although something may have been,
// or refused.
type ends string

const (
	replayed ends = "replayed"
	anew     ends = "anew"
	again    ends = "again"
	maybe    ends = "refused, maybe"
	surely   ends = "refused, yes"
)

// brokenBody is one that breaks off.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
func (brokenBody) Close() error { return nil }

// TestP34Ends goes through what a call can come to, and what that means for the
// next one under its key.
func TestP34Ends(t *testing.T) {
	lost := func(now policy.Attempt) func(*policy.Exchange) (*http.Response, error) {
		return func(x *policy.Exchange) (*http.Response, error) {
			x.Now = now
			return nil, &policy.Denial{Code: policy.CodeUnreachable, Executed: now.Alone(), Detail: "the connection broke"}
		}
	}
	gives := func(resp *http.Response) func(*policy.Exchange) (*http.Response, error) {
		return func(*policy.Exchange) (*http.Response, error) { return resp, nil }
	}
	edit := func(resp *http.Response, do func(*http.Response)) func(*policy.Exchange) (*http.Response, error) {
		do(resp)
		return gives(resp)
	}
	for name, c := range map[string]struct {
		first        func(*policy.Exchange) (*http.Response, error)
		keyed, alone ends
		leave        bool // the application leaves in the middle of the answer
	}{
		"200":                     {gives(answer(200, "x")), replayed, replayed, false},
		"200, empty":              {gives(answer(200, "")), replayed, replayed, false},
		"204":                     {gives(answer(204, "")), replayed, replayed, false},
		"303":                     {gives(answer(303, "", "Location", "/x")), replayed, replayed, false},
		"307 is another request":  {gives(answer(307, "")), anew, anew, false},
		"400 did nothing":         {gives(answer(400, "x")), anew, anew, false},
		"402 is kept if final":    {gives(answer(402, "declined")), replayed, anew, false},
		"404":                     {gives(answer(404, "x")), anew, anew, false},
		"409 says it runs":        {gives(answer(409, "x")), again, anew, false},
		"429":                     {gives(answer(429, "x")), anew, anew, false},
		"500 may have done it":    {gives(answer(500, "x")), again, maybe, false},
		"503":                     {gives(answer(503, "x")), again, maybe, false},
		"408 may have done it":    {gives(answer(408, "x")), again, maybe, false},
		"200 that is a 401":       {gives(answer(200, `{"ok":false,"error":"auth"}`, "Content-Type", "application/json")), anew, anew, false},
		"200 that is a 500":       {gives(answer(200, `{"ok":false,"error":"fatal"}`, "Content-Type", "application/json")), again, maybe, false},
		"not connected":           {lost(policy.Attempt{}), anew, anew, false},
		"nothing written":         {lost(policy.Attempt{Connected: true}), anew, anew, false},
		"refused unprocessed":     {lost(policy.Attempt{Connected: true, Written: 9, Refused: true}), anew, anew, false},
		"sent, and no answer":     {lost(policy.Attempt{Connected: true, Written: 9, Complete: true}), again, maybe, false},
		"sent in part":            {lost(policy.Attempt{Connected: true, Written: 1}), again, maybe, false},
		"an error without a name": {func(x *policy.Exchange) (*http.Response, error) { x.Now.Written = 9; return nil, errors.New("reset") }, again, maybe, false},
		"longer than keep_size":   {gives(answer(200, strings.Repeat("x", 101))), again, surely, false},
		"as long as keep_size":    {gives(answer(200, strings.Repeat("x", 100))), replayed, replayed, false},
		"longer, unannounced": {
			edit(answer(200, strings.Repeat("x", 101)), func(r *http.Response) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }), again, surely, false,
		},
		"chunked":                      {edit(answer(200, "x"), func(r *http.Response) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }), replayed, replayed, false},
		"HTTP/2 without a length":      {edit(answer(200, "x"), func(r *http.Response) { r.ContentLength, r.ProtoMajor = -1, 2 }), replayed, replayed, false},
		"P18 ends with the connection": {edit(answer(200, "x"), func(r *http.Response) { r.ContentLength, r.Close = -1, true }), again, surely, false},
		"P18 206":                      {gives(answer(206, "x")), again, surely, false},
		"an event stream":              {edit(answer(200, "data: x\n\n", "Content-Type", "text/event-stream; charset=utf-8"), func(r *http.Response) { r.ContentLength = -1 }), again, surely, false},
		"another protocol":             {edit(answer(101, ""), func(r *http.Response) { r.ContentLength = -1 }), again, surely, false},
		"the application left":         {gives(answer(200, "all of it")), again, surely, true},
	} {
		for kind, src := range map[string]string{"keyed": kept, "alone": alone} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				if strings.Contains(name, "200") && len(c.keyed) > 0 && name[:3] == "200" {
					src += "\noutcome \"auth\" { when = response.body.error == \"auth\" }\noutcome \"server_error\" { when = response.body.error == \"fatal\" }\n"
				}
				src = strings.Replace(src, "keep ", "keep_size = \"100B\"\nkeep ", 1)
				if kind == "keyed" {
					src = strings.Replace(src, "keep ", "in_flight = [409]\nkeep ", 1)
				}
				want := map[string]ends{"keyed": c.keyed, "alone": c.alone}[kind]
				body := ""
				u := &upstream{}
				u.answer = func(n int, r *http.Request) (*http.Response, error) {
					if n > 1 {
						return answer(200, "second"), nil
					}
					resp, err := c.first(policy.From(r.Context()))
					if resp != nil { // each run of it has a body of its own
						whole, _ := io.ReadAll(resp.Body)
						body = string(whole)
						resp.Body = io.NopCloser(strings.NewReader(body))
						copied := *resp
						copied.Header = resp.Header.Clone()
						copied.Body = io.NopCloser(strings.NewReader(body))
						return &copied, err
					}
					return resp, err
				}
				h := build(t, inMemory(t), u.RoundTrip, src)
				_, resp, err := h.do(keyed("k"))
				switch {
				case err != nil:
				case c.leave:
					_, _ = resp.Body.Read(make([]byte, 3))
					resp.Body.Close()
				default:
					if got := read(t, resp, nil); got != body {
						t.Fatalf("passed on %q of %q", got, body)
					}
				}
				x, resp, err := h.do(keyed("k"))
				var got ends
				var d *policy.Denial
				switch {
				case errors.As(err, &d) && d.Code == policy.CodeUnreachable && d.Executed == policy.Maybe && d.Hint != "":
					got = maybe
				case errors.As(err, &d) && d.Code == policy.CodeUnreachable && d.Executed == policy.Yes && d.Hint != "":
					got = surely
				case err != nil:
					t.Fatal(err)
				case x.Source == policy.Replayed:
					got = replayed
					if text := read(t, resp, nil); text != body {
						t.Errorf("replayed %q, want %q", text, body)
					}
				case x.Unsure:
					got = again
				default:
					got = anew
				}
				if got != want || (u.n == 2) != (want == anew || want == again) {
					t.Errorf("%s, want %s; sent %d times", got, want, u.n)
				}
			})
		}
	}
}

// TestP34Truncated: an answer that breaks off is passed on as such, and never
// replayed.
func TestP34Truncated(t *testing.T) {
	for _, length := range []int64{-1, 10} {
		u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) {
			if n > 1 {
				return answer(200, "whole text"), nil
			}
			resp := answer(200, "")
			resp.ContentLength, resp.Body = length, brokenBody{strings.NewReader("whole")}
			return resp, nil
		}}
		h := build(t, inMemory(t), u.RoundTrip, kept)
		_, resp, err := h.do(keyed("k"))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(resp.Body); string(text) != "whole" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q, %v", text, err)
		}
		resp.Body.Close()
		x, resp, err := h.do(keyed("k"))
		if got := read(t, resp, err); got != "whole text" || !x.Unsure {
			t.Errorf("%q, unsure %v", got, x.Unsure)
		}
	}
}

// TestP34StoredBeforeTheEnd: when the application has the last byte of an answer,
// the answer is in the store already.
func TestP34StoredBeforeTheEnd(t *testing.T) {
	for _, length := range []int64{9, -1} {
		u := &upstream{answer: func(int, *http.Request) (*http.Response, error) {
			resp := answer(200, "all of it")
			resp.ContentLength, resp.ProtoMajor = length, 2
			return resp, nil
		}}
		h := build(t, inMemory(t), u.RoundTrip, kept)
		_, resp, err := h.do(keyed("k"))
		if err != nil {
			t.Fatal(err)
		}
		got, buf := 0, make([]byte, 4)
		for {
			_, _, err := h.do(keyed("k"))
			denied(t, err, policy.IdempotencyInFlight)
			n, err := resp.Body.Read(buf)
			if got += n; err == io.EOF || int64(got) == length {
				break
			}
		}
		x, _, err := h.do(keyed("k"))
		if err != nil || x.Source != policy.Replayed || u.n != 1 {
			t.Errorf("length %d: %v, from %q", length, err, x.Source)
		}
		resp.Body.Close()
	}
}

// TestP18Immaterial: calls whose answers depend on what the client has are sent,
// each time.
func TestP18Immaterial(t *testing.T) {
	for _, header := range []string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Range", "Upgrade"} {
		u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
		h := build(t, inMemory(t), u.RoundTrip, kept)
		c := keyed("k")
		c.header = append(c.header, header, "x")
		for range 2 {
			_, resp, err := h.do(c)
			read(t, resp, err)
		}
		if u.n != 2 {
			t.Errorf("%s: sent %d times", header, u.n)
		}
	}
}

// TestP31RandomKeysAreNotKept: nobody can repeat a key that Postern made.
func TestP31RandomKeysAreNotKept(t *testing.T) {
	live := &idempotency.Live{Store: failing{}}
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
	for name, src := range map[string]string{"random": kept, "none": alone} {
		h := build(t, live, u.RoundTrip, src)
		x, resp, err := h.do(call{body: "amount=100"})
		read(t, resp, err)
		if name == "none" && x.Key.Value != "" || name == "random" && x.Key.Origin != policy.KeyRandom {
			t.Errorf("%s: %+v", name, x.Key)
		}
	}
	h := build(t, live, u.RoundTrip, kept)
	_, resp, err := h.do(call{method: "GET", header: []string{"Idempotency-Key", "k"}}) // no method that gets keys
	read(t, resp, err)
}

// failing is a store that is down.
type failing struct{}

var errDown = errors.New("the disk is full")

func (failing) Begin(context.Context, *idempotency.Claim) (idempotency.Standing, error) {
	return idempotency.Standing{}, errDown
}
func (failing) Renew(context.Context, idempotency.Lease, time.Duration) error     { return errDown }
func (failing) End(context.Context, idempotency.Lease, *idempotency.Ending) error { return errDown }

// TestStoreDown: what cannot be remembered is not sent. What was sent is answered
// all the same, and stays unknown.
func TestStoreDown(t *testing.T) {
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
	h := build(t, &idempotency.Live{Store: failing{}}, u.RoundTrip, kept)
	_, _, err := h.do(keyed("k"))
	if d := denied(t, err, policy.NotReady); d.Executed != "" || d.RetryAfter <= 0 || u.n != 0 {
		t.Errorf("%+v, sent %d times", d, u.n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := keyed("k")
	c.ctx = ctx
	if _, _, err := h.do(c); !errors.Is(err, context.Canceled) {
		t.Errorf("who left is told %v", err)
	}

	synctest.Test(t, func(t *testing.T) {
		live := inMemory(t)
		told := 0
		half := &halfDown{Store: live.Store, down: true}
		live.Store, live.Told = half, func(string, error) { told++ }
		h := build(t, live, u.RoundTrip, kept)
		_, resp, err := h.do(keyed("k"))
		if read(t, resp, err) != "x" || told != 1 {
			t.Errorf("told %d times", told)
		}
		half.down = false
		_, _, err = h.do(keyed("k"))
		denied(t, err, policy.IdempotencyInFlight)
		time.Sleep(31 * time.Second)
		x, resp, err := h.do(keyed("k"))
		if read(t, resp, err) != "x" || !x.Unsure {
			t.Errorf("unsure %v", x.Unsure)
		}
	})
}

// halfDown can begin, and not end.
type halfDown struct {
	idempotency.Store
	down bool
}

func (s *halfDown) End(ctx context.Context, l idempotency.Lease, e *idempotency.Ending) error {
	if s.down {
		return errDown
	}
	return s.Store.End(ctx, l, e)
}

// TestP32Lifetime: within the time for which the provider knows a key, a call of
// unknown outcome is sent again; after that it is a new operation, and nobody makes
// that unasked.
func TestP32Lifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) { return answer(500, "x"), nil }}
		h := build(t, inMemory(t), u.RoundTrip, strings.Replace(kept, "keep ", "lifetime = \"1h\"\nkeep ", 1))
		for _, wait := range []time.Duration{0, 30 * time.Minute, 29 * time.Minute} {
			time.Sleep(wait)
			_, resp, err := h.do(keyed("k"))
			read(t, resp, err)
		}
		time.Sleep(2 * time.Minute) // an hour after the first one, whatever came between
		_, _, err := h.do(keyed("k"))
		if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Maybe || !strings.Contains(d.Hint, "knows a key for 1h") || u.n != 3 {
			t.Errorf("%+v, sent %d times", d, u.n)
		}
		time.Sleep(25 * time.Hour)
		_, resp, err := h.do(keyed("k"))
		read(t, resp, err)
		if u.n != 4 {
			t.Errorf("what is forgotten is not sent")
		}
	})
}

// TestUnsureLooks: where a stage below can look, it is asked to, and nothing is
// refused; an idempotent method needs neither.
func TestUnsureLooks(t *testing.T) {
	u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) {
		return answer([]int{500, 200}[min(n-1, 1)], "x"), nil
	}}
	h := build(t, inMemory(t), u.RoundTrip, alone+looking)
	for range 3 {
		_, resp, err := h.do(keyed("k"))
		read(t, resp, err)
	}
	if h.asked != 1 || u.n != 2 {
		t.Errorf("looked %d times, sent %d times", h.asked, u.n)
	}
	u.n = 0
	h = build(t, inMemory(t), u.RoundTrip, strings.Replace(alone, "keep ", "methods = [\"PUT\"]\nkeep ", 1))
	for range 3 {
		c := keyed("k")
		c.method = http.MethodPut
		_, resp, err := h.do(c)
		read(t, resp, err)
	}
	if u.n != 2 {
		t.Errorf("a PUT was sent %d times", u.n)
	}
}

// TestUnsureOfWhoeverCalls: who makes the call, such as the outbox, may know of an
// earlier one that is forgotten here: it is looked for all the same.
func TestUnsureOfWhoeverCalls(t *testing.T) {
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
	h := build(t, inMemory(t), u.RoundTrip, alone+looking)
	c := keyed("k")
	c.unsure = true
	_, resp, err := h.do(c)
	if read(t, resp, err); h.asked != 1 {
		t.Errorf("looked %d times", h.asked)
	}
}

// TestUnsureIsHonest: a repeat that reaches nobody does not say that nothing was
// done: the call before may have.
func TestUnsureIsHonest(t *testing.T) {
	for name, second := range map[string]error{"a denial": &policy.Denial{Code: policy.Limited, Stage: "limit"}, "an error": errors.New("no route")} {
		u := &upstream{answer: func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				return answer(500, "x"), nil
			}
			policy.From(r.Context()).Now = policy.Attempt{}
			return nil, second
		}}
		h := build(t, inMemory(t), u.RoundTrip, kept)
		_, resp, err := h.do(keyed("k"))
		read(t, resp, err)
		x, _, err := h.do(keyed("k"))
		var d *policy.Denial
		if errors.As(err, &d) && d.Executed != policy.Maybe || d == nil && x.Now.Executed() != policy.Maybe {
			t.Errorf("%s: %v, executed %s", name, err, x.Now.Executed())
		}
		if _, _, err = h.do(keyed("k")); err == nil || u.n != 3 { // it stays unknown
			t.Errorf("%s: %v, sent %d times", name, err, u.n)
		}
	}
}

// TestUnsealed: an answer that cannot be opened, or is not what was stored, is
// never given, and the call is not made twice.
func TestUnsealed(t *testing.T) {
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "secret answer"), nil }}
	live := inMemory(t)
	spy := &spying{Store: live.Store}
	live.Store = spy
	h := build(t, live, u.RoundTrip, alone)
	for _, key := range []string{"a", "b"} {
		_, resp, err := h.do(keyed(key))
		read(t, resp, err)
	}
	if len(spy.answers) != 2 || strings.Contains(string(spy.answers[0]), "secret") {
		t.Fatalf("stored %q", spy.answers)
	}
	spy.swap = spy.answers[1] // of another key
	_, _, err := h.do(keyed("a"))
	if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Yes {
		t.Errorf("%+v", d)
	}
	spy.swap = nil
	other := ring(t)
	live.Ring = func() (*seal.Ring, error) { return other, nil }
	_, _, err = h.do(keyed("a"))
	if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Yes || u.n != 2 {
		t.Errorf("%+v, sent %d times", d, u.n)
	}
	live.Ring = func() (*seal.Ring, error) { return nil, errors.New("there is no key") }
	_, resp, err := h.do(keyed("c"))
	read(t, resp, err)
	_, _, err = h.do(keyed("c"))
	if d := denied(t, err, policy.CodeUnreachable); d.Executed != policy.Yes || u.n != 3 {
		t.Errorf("%+v, sent %d times", d, u.n)
	}
}

// spying sees what is stored, and can give something else.
type spying struct {
	idempotency.Store
	answers [][]byte
	swap    []byte
}

func (s *spying) End(ctx context.Context, l idempotency.Lease, e *idempotency.Ending) error {
	if len(e.Answer) > 0 {
		s.answers = append(s.answers, e.Answer)
	}
	return s.Store.End(ctx, l, e)
}

func (s *spying) Begin(ctx context.Context, c *idempotency.Claim) (idempotency.Standing, error) {
	got, err := s.Store.Begin(ctx, c)
	if len(got.Answer) > 0 && s.swap != nil {
		got.Answer = s.swap
	}
	return got, err
}

// TestTooLarge: a body that is not kept whole has no fingerprint. The call goes on,
// noted; where the policy wants a key that only Postern knows, it is refused.
func TestTooLarge(t *testing.T) {
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
	small := "\nretry {\nattempts = 1\nbuffer = \"4B\"\n}\n"
	for name, c := range map[string]struct {
		src  string
		sent int
	}{
		"keyed":           {strings.Replace(kept, "retry { attempts = 1 }", small, 1), 2},
		"alone":           {strings.Replace(alone, "retry { attempts = 1 }", small, 1), 2},
		"alone, required": {strings.Replace(strings.Replace(alone, "retry { attempts = 1 }", small, 1), "keep ", "required = true\nkeep ", 1), 0},
	} {
		u.n = 0
		h := build(t, inMemory(t), u.RoundTrip, c.src)
		for range 2 {
			_, resp, err := h.do(keyed("k"))
			if c.sent == 0 {
				denied(t, err, policy.BodyTooLarge)
				continue
			}
			read(t, resp, err)
		}
		if u.n != c.sent {
			t.Errorf("%s: sent %d times", name, u.n)
		}
	}
}

// TestTrailers: they are part of the answer.
func TestTrailers(t *testing.T) {
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) {
		resp := answer(200, "x")
		resp.ContentLength, resp.TransferEncoding = -1, []string{"chunked"}
		resp.Trailer = http.Header{"X-Sum": {"1"}}
		return resp, nil
	}}
	h := build(t, inMemory(t), u.RoundTrip, kept)
	for range 2 {
		_, resp, err := h.do(keyed("k"))
		if read(t, resp, err); resp.Trailer.Get("X-Sum") != "1" {
			t.Errorf("trailers %v", resp.Trailer)
		}
	}
}

// TestContentEncoding: what was asked for compressed is replayed plain to who does
// not ask for that, and as it was to who does.
func TestContentEncoding(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, strings.Repeat("text ", 100))
	z.Close()
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) {
		return answer(200, packed.String(), "Content-Encoding", "gzip", "Content-Length", fmt.Sprint(packed.Len())), nil
	}}
	h := build(t, inMemory(t), u.RoundTrip, kept)
	for _, accept := range []string{"gzip, br", "GZIP", "", "identity"} {
		c := keyed("k")
		if accept != "" {
			c.header = append(c.header, "Accept-Encoding", accept)
		}
		_, resp, err := h.do(c)
		got, want := read(t, resp, err), packed.String()
		if !strings.Contains(strings.ToLower(accept), "gzip") {
			want = strings.Repeat("text ", 100)
		}
		if got != want || resp.Header.Get("Content-Length") != fmt.Sprint(len(want)) || (resp.Header.Get("Content-Encoding") == "") != (len(want) == 500) {
			t.Errorf("%q: %d bytes, %v", accept, len(got), resp.Header)
		}
	}
	if u.n != 1 {
		t.Errorf("sent %d times", u.n)
	}
}

// TestLeftWhileBeginning: the application leaves while sent is being stored. Nothing
// was sent, and the key is as it was.
func TestLeftWhileBeginning(t *testing.T) {
	for name, earlier := range map[string]int{"a free key": 400, "an open one": 500} {
		t.Run(name, func(t *testing.T) {
			u := &upstream{answer: func(n int, _ *http.Request) (*http.Response, error) {
				return answer([]int{earlier, 200}[n-1], "x"), nil
			}}
			live := inMemory(t)
			h := build(t, live, u.RoundTrip, kept)
			_, resp, err := h.do(keyed("k"))
			read(t, resp, err)
			ctx, cancel := context.WithCancel(t.Context())
			slow := &leaving{live.Store, cancel}
			live.Store = slow
			c := keyed("k")
			c.ctx = ctx
			if _, _, err := h.do(c); !errors.Is(err, context.Canceled) || u.n != 1 {
				t.Fatalf("%v, sent %d times", err, u.n)
			}
			live.Store = slow.Store
			x, resp, err := h.do(keyed("k"))
			if read(t, resp, err); x.Unsure != (earlier == 500) || u.n != 2 {
				t.Errorf("unsure %v, sent %d times", x.Unsure, u.n)
			}
		})
	}
}

// leaving is a store during whose work the application leaves.
type leaving struct {
	idempotency.Store
	leave func()
}

func (s *leaving) Begin(ctx context.Context, c *idempotency.Claim) (idempotency.Standing, error) {
	s.leave()
	return s.Store.Begin(ctx, c)
}

// TestP30Forms: both forms of the header are one key, and the provider gets the
// one that it wants.
func TestP30Forms(t *testing.T) {
	for name, c := range map[string]struct {
		src        string
		sends, got string
		code       policy.Code
	}{
		"bare":                    {kept, `u-1`, `u-1`, ""},
		"a String":                {kept, `"u-1"`, `u-1`, ""},
		"a String with escapes":   {kept, `"a\"b\\c"`, `a"b\c`, ""},
		"bare, wanted quoted":     {quoted, `u-1`, `"u-1"`, ""},
		"a String, wanted quoted": {quoted, `"u-1"`, `"u-1"`, ""},
		"quotes, wanted quoted":   {quoted, `a"b\c`, `"a\"b\\c"`, ""},
		"not ASCII, quoted":       {quoted, "ü", "", policy.BadRequest},
		"half a String":           {kept, `"u-1`, `"u-1`, ""},
		"a bad escape":            {kept, `"u\1"`, `"u\1"`, ""},
		"two Strings":             {kept, `"a" "b"`, `"a" "b"`, ""},
		"an empty String is none": {kept + "", `""`, "*", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
			h := build(t, inMemory(t), u.RoundTrip, c.src)
			_, resp, err := h.do(keyed(c.sends))
			if c.code != "" {
				denied(t, err, c.code)
				return
			}
			read(t, resp, err)
			if got := u.sent[0].Header["Idempotency-Key"]; len(got) != 1 || got[0] != c.got && (c.got != "*" || len(got[0]) != 36) {
				t.Errorf("the provider got %q, want %q", got, c.got)
			}
		})
	}
	u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
	h := build(t, inMemory(t), u.RoundTrip, kept)
	for _, form := range []string{`u-1`, `"u-1"`} {
		_, resp, err := h.do(keyed(form))
		read(t, resp, err)
	}
	if u.n != 1 {
		t.Errorf("the two forms are two keys")
	}
}

var quoted = strings.Replace(kept, "keep ", "quoted = true\nkeep ", 1)

// TestP32Rules: what the provider would refuse is refused here, and a random key
// keeps to its rules.
func TestP32Rules(t *testing.T) {
	rules := func(lines string) string { return strings.Replace(kept, "keep ", lines+"\nkeep ", 1) }
	for name, c := range map[string]struct {
		src, key string
		ok       bool
	}{
		"as long as can be":      {rules("length = 45"), strings.Repeat("k", 45), true},
		"too long":               {rules("length = 45"), strings.Repeat("k", 46), false},
		"longer than is usual":   {rules("length = 1000"), strings.Repeat("k", 1000), true},
		"of its characters":      {rules(`characters = "A-Za-z0-9_"`), "Order_7", true},
		"of others":              {rules(`characters = "A-Za-z0-9_"`), "order-7", false},
		"random, without hyphen": {rules("length = 32\ncharacters = \"a-f0-9\""), "", true},
		"random":                 {rules("length = 36"), "", true},
	} {
		u := &upstream{answer: func(int, *http.Request) (*http.Response, error) { return answer(200, "x"), nil }}
		h := build(t, inMemory(t), u.RoundTrip, c.src)
		one := keyed(c.key)
		if c.key == "" {
			one.header = nil
		}
		_, resp, err := h.do(one)
		if !c.ok {
			if d := denied(t, err, policy.BadRequest); u.n != 0 || d.Hint == "" {
				t.Errorf("%s: %+v", name, d)
			}
			continue
		}
		read(t, resp, err)
		if got := u.sent[0].Header.Get("Idempotency-Key"); c.key != "" && got != c.key || strings.Contains(name, "without") && strings.Contains(got, "-") || got == "" {
			t.Errorf("%s: sent %q", name, got)
		}
	}
}

// TestSummary is what explain shows.
func TestSummary(t *testing.T) {
	for src, want := range map[string]string{
		kept:  "header Idempotency-Key on POST: the application's key, else a random one per call; answers up to 1MiB are kept 24h0m0s",
		alone: `known to Postern alone, on POST: request.header["X-Order-Id"], else none; answers up to 1MiB are kept 24h0m0s`,
	} {
		h := build(t, new(idempotency.Live), nil, src)
		if got := h.set.Provider("p").Plans()[0].Stages[0].Summary; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
