package outbox

import (
	"fmt"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// keyLife is how long a provider knows a key again if the policy does not say.
const keyLife = 24 * time.Hour

// lifeOf is how long the provider of a plan knows a key again.
func lifeOf(plan *policy.Plan) time.Duration {
	if plan != nil {
		for i := range plan.Stages {
			if d := plan.Stages[i].KeyLife; d > 0 {
				return d
			}
		}
	}
	return keyLife
}

// looks reports whether a plan has a stage that looks at the provider before it
// sends what may have had its effect.
func looks(plan *policy.Plan) bool {
	if plan == nil {
		return false
	}
	for i := range plan.Stages {
		if plan.Stages[i].Looks {
			return true
		}
	}
	return false
}

// risk says why a call must not be sent at a time because it may have a second
// effect; "" if that cannot be. It is a pure function.
func risk(c *Call, told bool, plan *policy.Plan, now time.Time) string {
	switch {
	case c.Doubt.IsZero(), c.Forced, policy.Idempotent(c.Method), looks(plan):
		return ""
	case !told:
		return "it may have had its effect, and the provider would not know a repeat"
	case now.Sub(c.Doubt) < lifeOf(plan):
		return ""
	}
	return fmt.Sprintf("it may have had its effect, and the provider knows its key for %v only", lifeOf(plan))
}
