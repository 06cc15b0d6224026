package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// posternConfig is the process: its three listeners, and the embedded store on the same disk as the baselines'.
const posternConfig = `environment = "bench"

proxy {
  listen    = "%s"
  unmatched = "deny"
}

inbound {
  listen = "%s"
}

admin {
  listen = "%s"
  %s
}

store {
  url = "sqlite:postern.db"
}
`

// posternProvider is the full policy that is measured: a credential, version, idempotency, limit, retry.
const posternProvider = `provider "bench" {
  hosts     = ["` + host + `"]
  upstream  = "https://%s"
  endpoints = ["/v1/items/{id}", "/v1/items", "/v1/streams/{id}", "/v1/streams"]

  credential %s

  version {
    header = "` + versionName + `"
    pin    = "` + versionValue + `"
  }

  idempotency {
    header  = "` + keyName + `"
    methods = ["POST"]
  }

  retry {
    attempts = 3
    on       = ["rate_limited", "server_error", "timeout", "unreachable"]
    backoff {
      first  = "200ms"
      factor = 2
      max    = "5s"
      jitter = "full"
    }
    budget = 0.2
    buffer = "1MiB"
  }

  limit "published" {
    rate  = "1000000/s"
    burst = 1000000
    wait  = "5s"
  }
}
`

// posternWebhook is an inbox whose deliveries go to the upstream's application: /now takes each at once; /held takes
// one and keeps it, so that only receiving is measured.
const posternWebhook = `webhook "%[1]s" {
  path = "/%[1]s"

  verify "stripe" {
    secrets   = [env("BENCH_WEBHOOK_SECRET")]
    tolerance = "1h"
  }

  event {
    id      = body.id
    type    = body.type
    account = body.account
    time    = body.created
    key     = body.data.object.id
  }

  deliver {
    to          = "http://%[2]s/%[1]s"
    timeout     = "1h"
    concurrency = %[3]d
  }
}
`

// place is where Postern runs.
type place struct{ dir, proxy, inbound, admin string }

// posternFolder writes the configuration of a process with one credential and chooses the listeners.
func posternFolder(f *field, set settings, upstream, name, credential string) (place, error) {
	at := place{dir: filepath.Join(f.dir, name)}
	for _, addr := range []*string{&at.proxy, &at.inbound, &at.admin} {
		free, err := freePort()
		if err != nil {
			return place{}, err
		}
		*addr = free
	}
	_, port, err := net.SplitHostPort(upstream)
	if err != nil {
		return place{}, err
	}
	if err := os.Mkdir(at.dir, 0o700); err != nil {
		return place{}, err
	}
	for name, text := range map[string]string{
		"postern.hcl":  fmt.Sprintf(posternConfig, at.proxy, at.inbound, at.admin, set.AdminHCL),
		"bench.hcl":    fmt.Sprintf(posternProvider, "127.0.0.1:"+port, credential),
		"webhooks.hcl": fmt.Sprintf(posternWebhook+"\n", "held", f.control, 1) + fmt.Sprintf(posternWebhook+"\n", "now", f.control, 16) + fmt.Sprintf(posternWebhook, "storm", f.control, 1),
	} {
		if err := os.WriteFile(filepath.Join(at.dir, name), []byte(text), 0o600); err != nil {
			return place{}, err
		}
	}
	return at, nil
}
