package shared

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dialing bounds one attempt to connect, made in the background.
const dialing = 200 * time.Millisecond

// newClient makes a client that does each thing once, within the time that the
// caller says, and writes no log of its own. With go-redis's defaults, a call to
// a Redis that is down takes 1.7 s.
func newClient(url string, patience time.Duration) (*redis.Client, error) {
	logging.Disable()
	o, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("shared.url cannot be used: %w", err)
	}
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DialTimeout = dialing
	o.ContextTimeoutEnabled = true // a command that times out takes its connection with it
	o.ReadTimeout, o.WriteTimeout = time.Second, time.Second
	o.PoolSize, o.PipelinePoolSize, o.MaxActiveConns = 8, 2, 8 // after PoolSize failures it dials once a second
	o.PoolTimeout = patience
	o.Protocol = 2
	o.DisableIdentity = true
	o.ClientName = "postern"
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}
