package idempotency

import (
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/postern-proxy/postern/policy"
)

// judge says what an answer tells of the call: it had its effect (done), it had
// none and may be made anew (free), or nobody knows.
func (b *Block) judge(x *policy.Exchange, resp *http.Response) State {
	o := x.Outcome
	if o == "" {
		o = policy.OfStatus(resp.StatusCode)
	}
	switch {
	case !b.local() && slices.Contains(b.Final, resp.StatusCode):
		return Done
	case slices.Contains(b.InFlight, resp.StatusCode):
		return Unknown // it runs still, as an earlier attempt
	case o == policy.OK || o == policy.Redirect && policy.Effective(resp.StatusCode):
		return Done
	case !x.Unsure && !x.Now.Earlier && refused(resp.StatusCode, o):
		return Free
	}
	return Unknown
}

// refused reports whether an answer says that nothing was done, by its status or,
// where the provider answers 200 to everything, by what the policy reads in it.
func refused(status int, o policy.Outcome) bool {
	switch {
	case policy.Harmless(status, o):
		return true
	case status >= 200 && status < 300:
		return o == policy.Validation || o == policy.Auth || o == policy.Forbidden || o == policy.NotFound
	}
	return !policy.Effective(status)
}

// unkeepable says why an answer is not kept, by what its head tells, "" if it may
// be: nothing partial, streamed, or without a sure end (pitfalls P18, P34).
func (b *Block) unkeepable(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode < 200:
		return "the connection was handed over"
	case resp.StatusCode == http.StatusPartialContent:
		return "it is a part of an answer"
	case kind == "text/event-stream" || kind == "multipart/x-mixed-replace":
		return "it is a stream"
	case resp.ContentLength > int64(b.KeepSize):
		return fmt.Sprintf("it is longer than keep_size, %v", b.KeepSize)
	case resp.ContentLength < 0 && resp.ProtoMajor == 1 && resp.Close && !slices.Contains(resp.TransferEncoding, "chunked"):
		return "it ends with the connection, so that nobody can tell whether it is whole"
	}
	return ""
}
