// Package clientenv says what an application's runtime needs to send its traffic through Postern: proxy
// variables, CA trust, preload hooks.
//
// Read runtimes.go first (which programs are meant, and what is not covered), then vars.go with noproxy.go and
// nodeoptions.go (the variables and how they join what is set already), format.go with quote.go (the variables in
// the syntax of a shell or a file), trust.go with roots.go and hooks.go (the folder they point at), and
// command.go (running a program with them).
package clientenv
