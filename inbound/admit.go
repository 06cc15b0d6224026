package inbound

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/postern-proxy/postern/config/block"
)

// admit holds back an event that accept does not let pass. It is ignored if that
// says no, and in quarantine if it says neither yes nor no, because it failed or
// what it reads is not there: then a person has to look. Either can be released.
func (w *Webhook) admit(n *Names, to []Placement) {
	if w.Accept == nil {
		return
	}
	switch v, err := w.Accept.Eval(n); {
	case err != nil:
		quarantine(to, fmt.Sprintf("accept failed: %s: %v", written(w.Accept), err))
	case v.Kind != block.Bool:
		quarantine(to, "accept is neither true nor false: "+written(w.Accept))
	case !v.Bool:
		hold(to, Ignored, "not accepted: "+written(w.Accept))
	}
}

// maxWritten is how much of an expression a reason shows.
const maxWritten = 200

// written is an expression as it stands in the policy, on one line, and where.
func written(x *block.Expr) string {
	text, at := strings.Join(strings.Fields(x.Source()), " "), x.Range()
	if len(text) > maxWritten {
		text = text[:maxWritten] + "…"
	}
	return fmt.Sprintf("%s (%s:%d)", strings.ToValidUTF8(text, ""), filepath.Base(at.Filename), at.Start.Line)
}
