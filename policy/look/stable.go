package look

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// fickle are names of what several may have, or what may change. They are
// compared in small letters, without what separates words.
var fickle = []string{
	"name", "firstname", "lastname", "fullname", "displayname", "nickname", "username", "title", "subject", "summary", "label", "description",
	"phone", "phonenumber", "address", "amount", "email", "emailaddress", "mail",
}

// Check refuses a look that would find the same for every call.
func Check(attr string, get, found *block.Expr) error {
	var errs []error
	told := false
	for _, e := range []*block.Expr{get, found} {
		for _, name := range []string{"request.body", "request.raw_body", "request.header", "request.query", "request.path"} {
			told = told || e.Reads(name)
		}
	}
	if !told {
		errs = append(errs, block.At(attr, "it asks the same for every call: a call is found by an id that it carries, such as request.body.external_id"))
	}
	if !found.Reads("response.body") && !found.Reads("response.status") && !found.Reads("response.header") {
		errs = append(errs, block.At("found", "it says nothing of the answer"))
	}
	return errors.Join(errs...)
}

// Warnings says where a call would be found by what does not identify it.
func Warnings(exprs ...*block.Expr) (out []policy.Warning) {
	for _, e := range exprs {
		for _, ref := range e.Refs() {
			if name := vague(ref); name != "" {
				out = append(out, policy.Warning{
					Summary: "Found by what is not its own", At: e.Range(),
					Detail: fmt.Sprintf("Another one may have the same %s, and would be taken for this call's. Look it up by an id or by metadata that the call itself carries and no other one does.", name),
				})
			}
		}
	}
	return out
}

// vague returns the last step of a name of the request that identifies nothing,
// "" for all others.
func vague(ref *block.Ref) string {
	last := ref.Key
	switch ref.Name {
	case "request.body":
		last = ref.Path[strings.LastIndexByte(ref.Path, '.')+1:]
	case "request.query", "request.header":
	default:
		return ""
	}
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "", `\`, "").Replace(last))
	if slices.Contains(fickle, strings.TrimPrefix(plain, "x")) {
		return last
	}
	return ""
}
