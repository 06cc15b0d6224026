// Package admin is the listener for people, orchestrators and the command line:
// health, metrics, the API and pages to read.
//
// Read it in this order:
//
//	config.go   the admin block
//	server.go   the server, and what it is made of
//	routes.go   every route: the one table that the server, the API's document
//	            and the tests go by
//	guard.go    what every request has to pass: host, origin, token
//	health.go   livez, readyz, startupz
//	api.go      status, providers, webhooks, reload; inbox.go: stored events;
//	            connections.go: grants of accounts
//	words.go    what the API says, as Go types; connection_words.go
//	problem.go  the one way in which it says no
//	openapi.go  the document of the API, made of routes and words
//	page.go     the first page; page_inbox.go: those of events; debug.go: pprof
//	client.go   the API from the other side; client_connections.go
package admin
