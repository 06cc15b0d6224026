// Package inbound is the webhook inbox: what a provider sends is verified,
// stored, and only then acknowledged; afterwards it is delivered to the
// application until the application has applied it.
//
// Read it in this order:
//
//	event.go     events, their states and the one table of moves
//	store.go     what the inbox asks of a store
//	webhook.go   the webhook block; check.go what is refused in it;
//	             headers.go which headers are kept; config.go the inbound block
//	verify.go    what a signature scheme is; names.go what expressions read
//	set.go       the webhooks of one policy together
//	inbox.go     the inbox: live state, reload, the background work
//	receive.go   the first half of the journey: verify, store, acknowledge
//	deliver.go   the second half; request.go is what the application gets;
//	             judge.go decides what an answer means
//	admin.go     what a person may look at and do
//	server.go    the listener; observe.go what telemetry is told
package inbound
