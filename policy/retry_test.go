package policy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestP19Evidence: what is sent again, and what the application is told, goes
// by what is known of the attempt.
func TestP19Evidence(t *testing.T) {
	for _, c := range []struct {
		name, method string
		keyed        bool
		first        step
		sent         int
		executed     policy.Executed // if the call fails
	}{
		{"not connected", "POST", false, step{err: errBroke, now: unsent}, 2, policy.No},
		{"nothing written", "POST", false, step{err: errBroke, now: dialled}, 2, policy.No},
		{"refused stream", "POST", false, step{err: errBroke, now: goaway}, 2, policy.No},
		{"reset after the request", "POST", false, step{err: errBroke, now: sent}, 1, policy.Maybe},
		{"the transport's own word", "POST", false, step{err: &policy.Denial{Code: policy.CodeUnreachable}, now: sent}, 1, policy.Maybe},
		{"reset after one byte", "POST", false, step{err: errBroke, now: partly}, 1, policy.Maybe},
		{"reset, with a key", "POST", true, step{err: errBroke, now: sent}, 2, policy.Maybe},
		{"reset, idempotent", "PUT", false, step{err: errBroke, now: sent}, 2, policy.Maybe},
		{"timeout, patch", "PATCH", false, step{err: context.DeadlineExceeded, now: sent}, 1, policy.Maybe},
		{"503", "POST", false, step{status: 503}, 1, ""},
		{"503, with a key", "POST", true, step{status: 503}, 2, ""},
		{"503, idempotent", "GET", false, step{status: 503}, 2, ""},
		{"429", "POST", false, step{status: 429}, 2, ""},
		{"408 may hide a late back end", "POST", false, step{status: 408}, 1, ""},
		{"400", "POST", true, step{status: 400}, 1, ""},
		{"404", "GET", false, step{status: 404}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := `retry { attempts = 2 }`
				if c.keyed {
					src += "\nidempotency { header = \"Idempotency-Key\" }"
				}
				s := play(t, c.first)
				x, resp, err := compile(t, s.RoundTrip, src).do(call{method: c.method, path: "/x", body: "b"})
				if len(s.sent) != c.sent || x.Attempts != c.sent || len(x.Trail) != c.sent {
					t.Errorf("sent %d times, Attempts %d, Trail %d; want %d", len(s.sent), x.Attempts, len(x.Trail), c.sent)
				}
				if c.executed == "" {
					finish(t, resp, err)
				} else {
					var d *policy.Denial
					if !errors.As(err, &d) || d.Executed != c.executed {
						t.Errorf("%v, executed %q; want %q", err, d.Executed, c.executed)
					}
				}
				if s.open != 0 {
					t.Errorf("%d bodies left open", s.open)
				}
			})
		})
	}
}

// TestP19ExecutedOverAttempts: that an earlier attempt may have had an effect
// stays true of the call, whatever the later ones know.
func TestP19ExecutedOverAttempts(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		want  policy.Executed
	}{
		{"lost, then not connected", []step{{err: errBroke, now: sent}, {err: errBroke, now: unsent}}, policy.Maybe},
		{"503, then not connected", []step{{status: 503}, {err: errBroke, now: unsent}}, policy.Maybe},
		{"429 did nothing", []step{{status: 429}, {err: errBroke, now: unsent}}, policy.No},
		{"never connected", []step{{err: errBroke, now: unsent}}, policy.No},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, c.steps...)
				x, _, err := compile(t, s.RoundTrip, `retry { attempts = 2 }`).do(call{method: "PUT", path: "/x"})
				if d := denied(t, err, policy.CodeUnreachable); d.Executed != c.want || x.Now.Executed() != c.want {
					t.Errorf("executed %s and %s, want %s", d.Executed, x.Now.Executed(), c.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // the client leaves during the wait, or the next attempt
		ctx, cancel := context.WithCancel(t.Context())
		s := play(t, step{err: errBroke, now: sent})
		time.AfterFunc(100*time.Millisecond, cancel)
		x, _, err := compile(t, s.RoundTrip, ``).do(call{method: "PUT", path: "/x", ctx: ctx})
		if !errors.Is(err, context.Canceled) || x.Now.Executed() != policy.Maybe || len(s.sent) != 1 {
			t.Errorf("%v, executed %s, sent %d", err, x.Now.Executed(), len(s.sent))
		}
	})
}

// TestP20ReplayBuffer: a body longer than the buffer is streamed whole, and
// never sent a second time.
func TestP20ReplayBuffer(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int64
		body   string
		sent   int
	}{
		{"fits", 0, strings.Repeat("x", 1024), 2},
		{"too long", 0, strings.Repeat("x", 1025), 1},
		{"unannounced, fits", -1, strings.Repeat("x", 1024), 2},
		{"unannounced, too long", -1, strings.Repeat("x", 1025), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, step{status: 503}, step{status: 200})
				x, resp, err := compile(t, s.RoundTrip, `retry { buffer = "1KiB" }`).do(call{method: "PUT", path: "/x", body: c.body, length: c.length})
				finish(t, resp, err)
				if len(s.sent) != c.sent {
					t.Errorf("sent %d times, want %d", len(s.sent), c.sent)
				}
				for _, b := range s.body {
					if b != c.body {
						t.Errorf("sent %d bytes of %d", len(b), len(c.body))
					}
				}
				if c.sent == 1 && !noted(x, "retry", "not_again") {
					t.Error("nobody is told why there was no other attempt")
				}
			})
		})
	}
}

// TestP20UnreadBody: a long body of which nothing was read needs no copy.
func TestP20UnreadBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 5000)
		s := play(t, step{err: errBroke, now: unsent}, step{status: 503}, step{status: 200})
		x, resp, err := compile(t, s.RoundTrip, `retry { buffer = "1KiB" }`).do(call{method: "PUT", path: "/x", body: body})
		finish(t, resp, err)
		if len(s.sent) != 2 || len(s.body) != 1 || s.body[0] != body || resp.StatusCode != 503 || x.Unretried != policy.UnretriedBody {
			t.Errorf("sent %d times: %d, %s", len(s.sent), resp.StatusCode, x.Unretried)
		}
	})
}

// TestP20ExpressionKeepsReplay: reading the body for a key takes nothing from
// the attempts.
func TestP20ExpressionKeepsReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503}, step{status: 200})
		body := `{"order":"7","pad":"` + strings.Repeat("x", 3000) + `"}`
		src := `idempotency {
			header = "Idempotency-Key"
			key    = request.body.order
		}`
		h := compile(t, s.RoundTrip, src)
		x, resp, err := h.do(call{method: "POST", path: "/x", body: body, length: -1})
		finish(t, resp, err)
		if len(s.sent) != 2 || s.body[0] != body || s.body[1] != body || x.Key.Value != "7" {
			t.Errorf("sent %d times, key %+v", len(s.sent), x.Key)
		}
		s = play(t, step{status: 503}) // too long to be read: streamed whole, once, under a random key
		h = compile(t, s.RoundTrip, "retry { buffer = \"1KiB\" }\n"+src)
		x, resp, err = h.do(call{method: "POST", path: "/x", body: body, length: -1})
		finish(t, resp, err)
		if len(s.sent) != 1 || s.body[0] != body || x.Key.Origin != policy.KeyRandom {
			t.Errorf("sent %d times, key %+v", len(s.sent), x.Key)
		}
	})
}

// TestP22RetryAfter: the provider's wait is kept; one that is longer than the
// call may last ends it at once with the provider's own answer.
func TestP22RetryAfter(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		name, value string
		total       string
		sent        int
		waited      time.Duration
	}{
		{"seconds", "7", "60s", 2, 7 * time.Second},
		{"fraction", "1.5", "60s", 2, 1500 * time.Millisecond},
		{"zero", "0", "60s", 2, 0},
		{"negative", "-5", "60s", 2, 0},
		{"unparsable: our own", "0x10", "60s", 2, 500 * time.Millisecond},
		{"two values in one", "120, 60", "60s", 2, 500 * time.Millisecond},
		{"longer than the call", "61", "60s", 1, 0},
		{"overflow", "9999999999999999999999", "60s", 1, 0},
		{"overflow, no time limit", "9999999999999999999999", "0s", 1, 0},
		{"an hour, no time limit", "3600", "0s", 2, time.Hour},
		{"date", "+30s", "60s", 2, 30 * time.Second},
		{"past date", "-30s", "60s", 2, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if d, err := time.ParseDuration(c.value); err == nil && strings.HasSuffix(c.value, "s") {
					c.value = date(d)
				}
				s := play(t, step{status: 429, header: map[string]string{"Retry-After": c.value}, body: "slow down"}, step{status: 200})
				start := time.Now()
				x, resp, err := compile(t, s.RoundTrip, `timeout { total = "`+c.total+`" }`).do(call{method: "POST", path: "/x"})
				text := finish(t, resp, err)
				if len(s.sent) != c.sent || time.Since(start) != c.waited || x.Waited != c.waited {
					t.Errorf("sent %d times in %v, want %d in %v", len(s.sent), time.Since(start), c.sent, c.waited)
				}
				if c.sent == 1 && (resp.StatusCode != 429 || text != "slow down") {
					t.Errorf("answered %d %q, want the provider's own", resp.StatusCode, text)
				}
			})
		})
	}
}

// TestP21Budget: retries are at most a fifth of the calls of 10 s, and three.
func TestP21Budget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503})
		h := compile(t, s.RoundTrip, "retry {\nbackoff { first = \"0s\" }\n}")
		storm := func(n int) int {
			before := len(s.sent)
			for range n {
				_, resp, err := h.do(call{method: "GET", path: "/x"})
				finish(t, resp, err)
			}
			return len(s.sent) - before
		}
		if got := storm(1); got != 3 {
			t.Errorf("one call was sent %d times, want 3", got)
		}
		if got := storm(999); got < 1100 || got > 1200 {
			t.Errorf("999 calls were sent %d times, want at most 1.2 of them", got)
		}
		time.Sleep(11 * time.Second)
		h.compile("retry {\nbackoff { first = \"0s\" }\n}") // a reload changes nothing
		if got := storm(1); got != 3 {
			t.Errorf("after the window one call was sent %d times, want 3", got)
		}
		if got := storm(1); got != 2 {
			t.Errorf("the minimum of 3 is spent after %d sendings, want 2", got)
		}
	})
}

// TestP7OneKey: all attempts carry one key; the provider's saved answer for it
// is not asked for again.
func TestP7OneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503}, step{err: errBroke, now: sent}, step{status: 200})
		_, resp, err := compile(t, s.RoundTrip, `idempotency { header = "Idempotency-Key" }`).do(call{method: "POST", path: "/x", body: "b"})
		finish(t, resp, err)
		key := s.sent[0].Header.Get("Idempotency-Key")
		if len(s.sent) != 3 || key == "" || s.sent[1].Header.Get("Idempotency-Key") != key || s.sent[2].Header.Get("Idempotency-Key") != key {
			t.Errorf("sent %d times with %q", len(s.sent), key)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 500})
		_, resp, err := compile(t, s.RoundTrip, `idempotency {
			header = "Idempotency-Key"
			final  = [500]
		}`).do(call{method: "POST", path: "/x"})
		finish(t, resp, err)
		if len(s.sent) != 1 {
			t.Errorf("a final answer was asked for %d times", len(s.sent))
		}
	})
}

// TestRetryVerdict: the provider's own word comes first, but evidence decides.
func TestRetryVerdict(t *testing.T) {
	for _, c := range []struct {
		name, method, word string
		status, sent       int
	}{
		{"no", "GET", "false", 503, 1},
		{"yes to what is not in the list", "GET", "true", 409, 2},
		{"yes is no evidence", "POST", "true", 500, 1},
		{"silence", "GET", "", 503, 2},
		{"nonsense", "GET", "perhaps", 503, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, step{status: c.status, header: map[string]string{"Should-Retry": c.word}}, step{status: 200})
				_, resp, err := compile(t, s.RoundTrip, `retry { verdict = response.header["Should-Retry"] }`).do(call{method: c.method, path: "/x"})
				finish(t, resp, err)
				if len(s.sent) != c.sent {
					t.Errorf("sent %d times, want %d", len(s.sent), c.sent)
				}
			})
		})
	}
}

// TestRetryLastAnswer: when no other attempt can be made the last answer is
// given, byte for byte, long ones too, and what broke off is never whole.
func TestRetryLastAnswer(t *testing.T) {
	long := strings.Repeat("0123456789", 50_000)
	for _, c := range []struct {
		name string
		body io.Reader
		want string
		err  error
	}{
		{"short", strings.NewReader("short"), "short", nil},
		{"long", strings.NewReader(long), long, nil},
		{"cut off", io.MultiReader(strings.NewReader("half"), failing{}), "half", errBroke},
		{"cut off later", io.MultiReader(strings.NewReader(long), failing{}), long, errBroke},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				// The second attempt is refused by the breaker beneath.
				h := compile(t, func(r *http.Request) (*http.Response, error) {
					n++
					x := policy.From(r.Context())
					x.Now.Connected, x.Now.Written = true, 1
					return &http.Response{StatusCode: 503, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(c.body)}, nil
				}, `breaker { calls = 1 }`)
				x, resp, err := h.do(call{method: "GET", path: "/x"})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				if string(got) != c.want || !errors.Is(err, c.err) || n != 1 || resp.StatusCode != 503 || x.Outcome != policy.ServerError || x.Response != resp {
					t.Errorf("%d attempts: %d, %d bytes of %d, %v, %s", n, resp.StatusCode, len(got), len(c.want), err, x.Outcome)
				}
			})
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroke }

// TestF27Untrusted: a peer that is not whom it should be is not asked again.
func TestF27Untrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, now: unsent})
		_, _, err := compile(t, s.RoundTrip, ``).do(call{method: "GET", path: "/x"})
		d := denied(t, err, policy.CodeUnreachable)
		if len(s.sent) != 1 || !strings.Contains(d.Detail, "certificate") || d.Executed != policy.No {
			t.Errorf("sent %d times: %+v", len(s.sent), d)
		}
	})
}

// TestTimeoutTotal: waits and attempts together keep to the total, the
// application's own limit included.
func TestTimeoutTotal(t *testing.T) {
	for _, own := range []time.Duration{0, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, step{takes: time.Hour})
			start := time.Now()
			_, _, err := compile(t, s.RoundTrip, `timeout {
				attempt = "3s"
				total   = "8s"
			}`).do(call{method: "GET", path: "/x", total: own})
			denied(t, err, policy.UpstreamTimeout)
			if own == 0 {
				own = 8 * time.Second
			}
			if took := time.Since(start); took > own {
				t.Errorf("took %v, want at most %v", took, own)
			}
			if len(s.sent) < 2 {
				t.Errorf("sent %d times", len(s.sent))
			}
		})
	}
}

// TestP8CertificateOfOneAttempt: each attempt begins without a client certificate.
func TestP8CertificateOfOneAttempt(t *testing.T) {
	var had []bool
	h := open(t, policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
		x := policy.From(r.Context())
		had = append(had, x.Certificate != nil)
		x.Certificate = new(policy.ClientCertificate)
		return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"0"}}, Body: http.NoBody}, nil
	})).compile(`retry { attempts = 3 }`)
	_, resp, err := h.do(call{method: "GET", path: "/x"})
	finish(t, resp, err)
	if len(had) != 3 || slices.Contains(had, true) {
		t.Errorf("%v", had)
	}
}
