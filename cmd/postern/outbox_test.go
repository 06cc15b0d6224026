package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/admin"
)

// TestCallOnTerminal: what a provider or an application says moves no cursor, and
// begins no line.
func TestCallOnTerminal(t *testing.T) {
	const said = "a\x1b[2Jb\nstatus done\u009bc"
	var out bytes.Buffer
	c := admin.Call{
		ID: "1", Status: "failed", Reason: said, Result: admin.CallResult{Executed: "no", ErrorCode: said, Message: said, Hint: said, Detail: said},
		Request: admin.CallRequest{Method: "POST", URL: "https://p.example", Key: said}, Trail: []admin.CallMove{{To: "failed", Reason: said}},
	}
	if err := printCall(&out, &c); err != nil {
		t.Fatal(err)
	}
	if err := printCalls(&out, "table", []admin.Call{c}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.ContainsAny(text, "\x1b\u009b") || strings.Contains(text, "\nstatus done") {
		t.Errorf("%q", text)
	}
}
