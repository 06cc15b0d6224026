package reconcile

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// answer makes the answer of what was found. That it cannot be made changes
// nothing about the call: it has had its effect.
func (d *doubt) answer() (*http.Response, error) {
	x := d.x
	x.Done = true
	body, kind, ok := d.body()
	if !ok {
		x.Note("reconcile", "no_answer", "answer has no value")
		return nil, &policy.Denial{
			Code: policy.CodeUnreachable, Stage: "reconcile", Executed: policy.Yes,
			Detail: "the call was made, as a look-up at the provider shows, but its answer is lost and cannot be made of what the look-up gave",
			Hint:   "Do not make the call again. The expression `answer` of this route's reconcile block has no value for what was found: correct it.",
		}
	}
	resp := &http.Response{
		Status: strconv.Itoa(d.Status) + " " + http.StatusText(d.Status), StatusCode: d.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Length": {strconv.Itoa(len(body))}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: x.Request,
	}
	if kind != "" {
		resp.Header.Set("Content-Type", kind)
	}
	x.Source, x.Outcome, x.Response, x.Hint = policy.Reconciled, policy.OfStatus(d.Status), resp, ""
	x.Unretried = ""
	x.ProviderCode, x.ProviderMessage, x.ProviderRequestID = "", "", ""
	return resp, nil
}

// body is what is given as the answer, and its type. An object is given as the
// provider wrote it, byte for byte.
func (d *doubt) body() (body []byte, kind string, ok bool) {
	seen := d.res.Answer
	kind = seen.Header.Get("Content-Type")
	if d.Answer == nil {
		return seen.Body, kind, true
	}
	v, err := d.Answer.Eval(seen)
	text, known := v.Text()
	if err != nil || !known {
		return nil, "", false
	}
	isJSON := v.Kind != block.String || block.ValidJSON([]byte(text))
	switch {
	case isJSON && !strings.Contains(kind, "json"):
		kind = "application/json"
	case !isJSON:
		kind = "text/plain; charset=utf-8"
	}
	return []byte(text), kind, true
}
