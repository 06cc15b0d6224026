// Package postern is the root of the module. It holds the tests of the house
// as a whole: who imports whom (arch_test.go) and whether the documents are
// true (docs_test.go). The program is in cmd/postern.
package postern
