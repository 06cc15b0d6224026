// Package peers runs real PostgreSQL, PgBouncer and Redis for tests and measurements: private ports on loopback, folders
// of their own, crashes and pauses on demand. Nothing of the product imports it.
//
// A peer never outlives the process that started it, however that one ends, and a folder that the package made goes with
// it. There is no goroutine behind a running peer, so leak checks do not see it. Start, Stop, Kill, Pause, Continue and
// Close of one peer are for one goroutine at a time.
//
// Read server.go first, then guard.go, folder.go, postgres.go, standby.go, pgbouncer.go, redis.go. What a test calls is in
// testing.go.
package peers
