// Package proxy is the way in for outbound calls: CONNECT, absolute form and
// base URL all end at one handler, which names the one host a call is for,
// finds its plan, forwards it and writes the journal.
//
// Read handler.go (the journey of a call), address.go, baseurl.go and host.go
// (which host it is for), client.go (who calls), header.go and control.go (what
// is read and removed), forward.go, body.go, answer.go and upgrade.go (there
// and back), refuse.go (the one place where an error becomes a response); then
// server.go and ports.go (listeners and shutdown), connect.go (the CONNECT
// door), conn.go (connections taken over from net/http), egress.go (calls by
// Postern itself), journal.go and config.go.
package proxy
