package policy_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// TestRetryGivesBackItsPlace: a failure's long answer does not keep the place of
// which there is only one, and for which the next attempt waits.
func TestRetryGivesBackItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := play(t, step{status: 503, body: strings.Repeat("x", 100<<10)}, step{status: 200, body: "done"})
		h := compile(t, s.RoundTrip, `limit "one" { concurrency = 1 }`)
		start := time.Now()
		x, resp, err := h.do(call{method: "GET", path: "/x"})
		if text := finish(t, resp, err); resp.StatusCode != 200 || text != "done" {
			t.Errorf("%d after %v and %d attempts, %s", resp.StatusCode, time.Since(start), x.Attempts, x.Unretried)
		}
	})
}

// TestLearnedIsCredible: what a provider says that would hold calls back for ever
// holds back nobody.
func TestLearnedIsCredible(t *testing.T) {
	for _, c := range []struct{ name, refill, cost string }{
		{"refills never", "0.0000000001", "1"},
		{"costs more than there is", "50", strings.Repeat("9", 30)},
		{"costs more than a number", "50", strings.Repeat("9", 400)},
		{"refills more than a number", strings.Repeat("9", 400), "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, step{status: 200, header: map[string]string{"Left": "0", "Refill": c.refill, "Cost": c.cost}}, step{err: errBroke, now: sent})
				h := compile(t, s.RoundTrip, oneTry+`limit "points" {
					remaining = response.header["Left"]
					refill    = response.header["Refill"]
					cost      = response.header["Cost"]
				}`)
				_, resp, err := h.do(call{method: "GET", path: "/x"})
				finish(t, resp, err)
				for i := range 5 {
					time.Sleep(time.Hour)
					if _, _, err := h.do(call{method: "GET", path: "/x"}); err == nil {
						t.Fatal("no error")
					} else if d := (*policy.Denial)(nil); errors.As(err, &d) && d.Code == policy.Limited {
						t.Errorf("call %d is held back: %v", i, d)
					}
				}
			})
		})
	}
}

// TestUpsertBrokenUpdate: of an update whose answer broke off is told what its
// status says.
func TestUpsertBrokenUpdate(t *testing.T) {
	for _, c := range []struct {
		status int
		want   policy.Executed
	}{{200, policy.Yes}, {500, policy.Maybe}, {422, policy.No}} {
		synctest.Test(t, func(t *testing.T) {
			s := play(t, there, step{status: c.status, body: "half"})
			base := func(r *http.Request) (*http.Response, error) {
				resp, err := s.RoundTrip(r)
				if err == nil && r.Method == http.MethodPatch {
					resp.Body = struct {
						io.Reader
						io.Closer
					}{io.MultiReader(resp.Body, cutOff{}), resp.Body}
				}
				return resp, err
			}
			x, _, err := compile(t, base, upserted).do(customer())
			if d := denied(t, err, policy.CodeUnreachable); d.Executed != c.want || x.Now.Executed() != c.want {
				t.Errorf("%d: executed %s and %s, want %s", c.status, d.Executed, x.Now.Executed(), c.want)
			}
		})
	}
}
