// Package connect is the public listener at which a customer lets Postern act
// for an account: an application asks for a link that works once, the customer
// opens it, is sent to the provider, and comes back with a grant.
//
// Three rules hold throughout. What a browser brings is spent before it is
// believed: a link and a state work once. Nothing is asked of the provider
// before all of it fits together: state, browser, path, policy, issuer. And no
// browser is sent to where neither the operator nor the provider is.
//
// Read it in this order:
//
//	config.go    the connect block
//	origin.go    origins, and where a browser may be sent when it is done
//	ticket.go    links, and authorizations under way: what of them is stored
//	session.go   an application asks for a link
//	server.go    the server: what every request has to pass
//	link.go      the page behind a link, and the way to the provider
//	callback.go  the way back
//	refusal.go   what a customer reads when it does not work
//	page.go      the pages
package connect
