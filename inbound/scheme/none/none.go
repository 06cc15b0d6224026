// Package none accepts webhooks that nothing vouches for. It must be written
// out in a policy, and its events are marked unverified.
package none

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/inbound"
)

// Scheme decodes a verify "none" block, which is empty.
func Scheme(body hcl.Body, ctx *block.Context) (*inbound.Verification, hcl.Diagnostics) {
	diags := block.Decode(body, ctx, &struct{}{})
	return &inbound.Verification{
		Verify: func(context.Context, *inbound.Request) inbound.Verdict {
			return inbound.Verdict{Result: inbound.Accepted}
		},
		None: true,
	}, diags
}
