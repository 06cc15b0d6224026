// Package harness runs the postern binary as a user would and talks to it from outside: a configuration folder, the
// process and its end, the command line, the admin listener. It imports nothing of the product.
//
// Read postern.go first, then process.go, command.go, admin.go, need.go.
package harness
