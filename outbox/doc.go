// Package outbox keeps outbound calls that are not made at once: calls that the
// application hands over (Postern-Async), calls that have finally failed, and
// calls of which nobody knows whether they had their effect. It sends them by
// the same engine as the inbox, with the provider at the other end.
//
// What is kept of a call is what the application sent without any credential,
// sealed. Sending it runs the policy of that time, and signs afresh.
//
// Read it in this order:
//
//	call.go      calls, their states and the one table of moves
//	store.go     what the outbox asks of a store
//	request.go   what is kept of a request, and of what came of it
//	async.go     the async block; outbox.go the outbox: live state, background work
//	accept.go    the application hands a call over
//	letters.go   a call has failed, or a later one has made it superfluous
//	index.go     which dead letters are open, known without asking the store
//	send.go      a call is sent; judge.go says what follows; risk.go when not to send
//	callback.go  the result goes to the application
//	admin.go     what a person may look at and do
package outbox
