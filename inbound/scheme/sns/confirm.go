package sns

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-proxy/postern/inbound"
)

// confirmWithin is how long a confirmation may take. SNS waits 15 seconds.
const confirmWithin = 8 * time.Second

// confirm answers a SubscriptionConfirmation, which has been verified, by fetching
// its SubscribeURL. It is off unless the policy says confirm. If that fails, SNS
// sends it again.
func (x *verifier) confirm(r *inbound.Request) (inbound.Answer, bool) {
	m, err := read(r.Body)
	if err != nil || m["Type"] != "SubscriptionConfirmation" {
		return inbound.Answer{}, false
	}
	u, err := x.trust.Confirmations.Find(m["SubscribeURL"])
	if err != nil {
		return inbound.Answer{Status: http.StatusBadRequest, Body: []byte("this is no URL of SNS\n")}, true
	}
	q := u.Query()
	if q.Get("Action") != "ConfirmSubscription" || q.Get("Token") != m["Token"] || q.Has("TopicArn") && q.Get("TopicArn") != m["TopicArn"] {
		return inbound.Answer{Status: http.StatusBadRequest, Body: []byte("this URL confirms another subscription\n")}, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmWithin)
	defer cancel()
	if err := x.keys.Visit(ctx, u); err != nil {
		return inbound.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"5"}}, Body: []byte("not confirmed, please send it again\n")}, true
	}
	return inbound.Answer{}, true
}
