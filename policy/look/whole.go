package look

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// Whole reads an answer of up to [policy.PeekLimit] bytes before it is passed on:
// one that breaks off can then still be replaced, and whoever gets half of one
// takes the call for one to repeat. It is then the failure of the call instead.
// Streams are left as they are, unless a look may follow, which needs their place
// under limits: after a conflict, or where nobody knows what became of the call.
func Whole(x *policy.Exchange, resp *http.Response, stage string) (*http.Response, error) {
	cut := read(x, resp)
	if cut == nil {
		return resp, nil
	}
	resp.Body.Close()
	d := &policy.Denial{
		Code: policy.CodeUnreachable, Stage: stage, Detail: fmt.Sprintf("the provider answered %d, and the answer broke off", resp.StatusCode),
		Executed: x.Now.Executed(), Err: cut,
	}
	x.Done = d.Executed == policy.Yes
	x.Outcome, x.Response, x.Now.Err = policy.Unreachable, nil, cut
	return nil, d
}

// read reads a short answer into memory. It takes no longer than one attempt may,
// nor than half of the time that the call has left.
func read(x *policy.Exchange, resp *http.Response) error {
	if resp.Body == nil || resp.StatusCode == http.StatusSwitchingProtocols || !short(resp) && !x.Unknown() && x.Outcome != policy.Conflict {
		return nil
	}
	body, most := resp.Body, x.PerAttempt
	if left := time.Until(x.Total) / 2; !x.Total.IsZero() && (most <= 0 || left < most) {
		most = left
	}
	if most > 0 {
		late := time.AfterFunc(most, func() { body.Close() })
		defer late.Stop()
	}
	head, err := io.ReadAll(io.LimitReader(body, policy.PeekLimit))
	rest := io.Reader(body)
	switch {
	case err != nil:
		rest = broken{err} // never a whole answer
	case len(head) < policy.PeekLimit:
		body.Close()
		rest = http.NoBody
	}
	resp.Body = &kept{io.MultiReader(bytes.NewReader(head), rest), body}
	return err
}

// kept is the body of an answer that was read ahead.
type kept struct {
	io.Reader
	io.Closer
}

// broken is the end of a body that could not be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// short reports an answer that is no stream: of a known length, or JSON.
func short(resp *http.Response) bool {
	if resp.ContentLength >= 0 {
		return resp.ContentLength < policy.PeekLimit
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}
