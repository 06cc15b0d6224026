package retry

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// count counts a call: one that the application makes, or a retry by its SDK,
// which is one more request for the same work and comes out of the same budget.
// It is sent all the same: whether to ask again is the application's to decide.
func (t *loop) count(x *policy.Exchange) {
	now := time.Now()
	word := saysRetry(x.Request.Header)
	if word == "" && known(x.Key) && t.share.repeated(keyOf(x), now) {
		word = "the same idempotency key again"
	}
	if word == "" {
		t.share.call(now)
		return
	}
	if !x.Stored { // the outbox sends again what it has
		x.Repeat = true
		x.Note("retry", "sdk", word)
	}
	t.share.spend(now)
}

// gaveUp is the end of a call for this stage. A failure is remembered by its key,
// and, where SDKs would make further attempts, they are told not to: ours are all
// that there are to be.
func (t *loop) gaveUp(x *policy.Exchange) {
	switch x.Outcome {
	case policy.OK, policy.Redirect:
		return
	case policy.RateLimited, policy.QuotaExhausted, policy.Conflict, policy.ServerError, policy.Unreachable, policy.Timeout:
		x.Stop = t.Stop
	}
	if known(x.Key) {
		t.share.failed(keyOf(x), time.Now())
	}
}

// saysRetry is how an SDK says that a request is not its first attempt: as those
// made by Stainless do (X-Stainless-Retry-Count: 1; openai-node 6.49,
// buildHeaders), or those of AWS (amz-sdk-request: attempt=2; max=3;
// docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
func saysRetry(h http.Header) string {
	if v := h["X-Stainless-Retry-Count"]; len(v) == 1 {
		if n, err := strconv.Atoi(strings.TrimSpace(v[0])); err == nil && n > 0 {
			return "x-stainless-retry-count"
		}
	}
	if v := h["Amz-Sdk-Request"]; len(v) == 1 {
		for part := range strings.SplitSeq(v[0], ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if n, err := strconv.Atoi(value); name == "attempt" && err == nil && n > 1 {
				return "amz-sdk-request"
			}
		}
	}
	return ""
}

// known reports whether somebody outside of this process knows the key, and may
// send it again.
func known(k policy.Key) bool {
	return k.Value != "" && (k.Origin == policy.KeyApp || k.Origin == policy.KeyPolicy)
}

// caller is a key in the mouth of whoever uses it: two tenants may have the same.
type caller struct{ client, account, key string }

func keyOf(x *policy.Exchange) caller { return caller{x.Client, x.Account, x.Key.Value} }
