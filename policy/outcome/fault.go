package outcome

import (
	"net/http"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Fault returns the feature of the error block.
func Fault() policy.Feature {
	return policy.Feature{Name: "error", New: func() policy.Block { return new(Fields) }}
}

// Fields is an error block: where this provider keeps what a person needs.
type Fields struct {
	Code      *block.Expr `hcl:"code,optional" scope:"response"`
	Message   *block.Expr `hcl:"message,optional" scope:"response"`
	RequestID *block.Expr `hcl:"request_id,optional" scope:"response"`
}

// Stage compiles the block. Code and message are read of failures only; the
// request id of every answer, unless it is in the body.
func (f *Fields) Stage(policy.Scope) (policy.Stage, error) {
	st := policy.Stage{Summary: "reads code, message and request id of failures"}
	for _, e := range []*block.Expr{f.Code, f.Message, f.RequestID} {
		st.ReadsAnswer = st.ReadsAnswer || e != nil && e.Reads("response.body")
	}
	st.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				f.read(policy.From(r.Context()))
			}
			return resp, err
		})
	}
	return st, nil
}

func (f *Fields) read(x *policy.Exchange) {
	failed := x.Outcome != policy.OK && x.Outcome != policy.Redirect
	x.ProviderCode, x.ProviderMessage = "", ""
	if f.RequestID != nil && (failed || !f.RequestID.Reads("response.body")) {
		x.ProviderRequestID, _ = f.RequestID.String(x)
	}
	if failed && f.Code != nil {
		x.ProviderCode, _ = f.Code.String(x)
	}
	if failed && f.Message != nil {
		x.ProviderMessage, _ = f.Message.String(x)
	}
}
