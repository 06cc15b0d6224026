// Package faults is a provider's front door that misbehaves on command: a recording server for HTTP/1.1 and
// HTTP/2, in the clear or over TLS, that answers from a backend, or with a scripted status, or by breaking the
// connection at an exact point of the exchange.
//
// It reads the wire itself instead of using net/http's server, so that what it counts is what arrived: a send is
// counted when the first byte of a request (HTTP/1.1) or its HEADERS frame (HTTP/2) is read, whether or not the
// request is read further, answered, or understood.
//
// Read step.go first (what can be asked of it), then server.go, record.go, h1.go, h2.go; ca.go and backend.go
// stand alone.
package faults
