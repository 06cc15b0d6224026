package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/postern-proxy/postern/policy"
)

// Accepted says where a call is that was handed over for later.
type Accepted struct {
	ID       string // of the stored call: that of another one if it was there already
	Location string // absolute
	Status   string
}

// accept hands the call over, and answers when it is on disk.
func (c *call) accept() error {
	plan := c.x.Plan
	switch {
	case plan != nil && c.h.Accept == nil:
		return badRequest("no calls are stored here, as in a policy test", "Send the call without Postern-Async.")
	case plan == nil:
		return badRequest("Postern-Async is for hosts that a provider of the policy names", "Send the call without this header.")
	}
	if c.head.upgrade != "" {
		return badRequest("a call that is handed over for later cannot become another protocol", "Send the call without Postern-Async.")
	}
	c.openBody(plan.Buffer)
	out, err := c.outgoing()
	if err != nil {
		return err
	}
	a, err := c.h.Accept(&c.x, out)
	if err != nil {
		return c.blame(err)
	}
	c.settle()
	body, err := json.Marshal(struct {
		ID       string `json:"id"`
		Status   string `json:"status"`
		Location string `json:"location"`
	}{a.ID, a.Status, a.Location})
	if err != nil {
		return err
	}
	res, h := &c.result, c.w.Header()
	res.Status, res.Source, res.Outcome = http.StatusAccepted, policy.FromPostern, policy.OK
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["Location"] = []string{a.Location}
	mark(h, &c.x, res)
	h["Postern-Id"] = []string{a.ID}
	h["Postern-Executed"] = []string{string(policy.No)}
	c.keepOrClose(h, false)
	c.w.WriteHeader(http.StatusAccepted)
	if c.r.Method != http.MethodHead {
		n, err := c.w.Write(body)
		res.Out, res.Err = int64(n), err
	}
	return nil
}
