// Package upstream sends one attempt of a call to a provider and says exactly
// what became of it. It never sends anything twice.
//
// Read special.go and guard.go first: which addresses may be dialled at all,
// and dial.go: how. Then transport.go is the way of an attempt, from the pool
// (flight.go, pool.go) to a connection; certificate.go is about those on which a
// client certificate is shown. HTTP/1.1 is written and read on the
// caller's goroutine: conn.go over wire.go, request.go, upload.go, response.go,
// body.go. HTTP/2 is golang.org/x/net/http2 under a pool of our own: h2.go,
// h2call.go, h2body.go. pace.go keeps the deadlines of both, and errors.go lists
// what can go wrong.
package upstream
