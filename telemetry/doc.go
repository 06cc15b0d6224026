// Package telemetry is what Postern says about itself: logs, metrics, and the
// redaction that both go through. It decides nothing.
//
// Read it in this order:
//
//	telemetry.go  the parts put together
//	redact.go     no secret leaves: by value (forms.go, index.go, view.go), then by name (named.go)
//	log.go        the log handler; clean.go what a line may be made of
//	encode.go     lines written fast; sink.go lines written together
//	trace.go      ids by which lines belong together
//	outbound.go   one call: its line; egress.go: its metrics
//	inbox.go      webhooks and their deliveries; stats.go the state of the inbox
//	process.go    what happens to the process: breakers, limits, reloads; pace.go not too often
//	connections.go what happens to connections; certificates.go to client certificates
//	metrics.go    every metric, with its labels; handles.go how they are found fast
package telemetry
