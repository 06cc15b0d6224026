package block

import (
	"strings"
	"testing"
)

// TestPathIsLiteral: in an attribute that is a path, data can change neither
// what is asked nor whom.
func TestPathIsLiteral(t *testing.T) {
	for src, want := range map[string]string{
		`"/v1/orders/${request.body.id}"`:                             "",
		`"/v1/orders?ref=${lower(request.body.ref)}&limit=1"`:         "",
		`request.query.x == "y" ? "/a?x=1" : "/b/${request.body.id}"`: "",
		`"/constant"`:                                       "",
		`request.body.path`:                                 "Data could change the path",
		`"${request.body.path}"`:                            "begins with one slash",
		`"/v1/${request.body.id}/x y"`:                      "percent-encoded",
		`"/v1/${request.body.id}#top"`:                      "percent-encoded",
		`"/v1/%zz/${request.body.id}"`:                      "well percent-encoded",
		`"/é"`:                                              "percent-encoded",
		`"//evil.example/${request.body.id}"`:               "one slash",
		`"https://evil.example/"`:                           "one slash",
		`format("/v1/%s", request.body.id)`:                 "Data could change the path",
		`request.query.x == "y" ? "/a" : request.body.path`: "Data could change the path",
		`""`: "one slash",
	} {
		_, err := ParsePathExpr(src, "request")
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", src, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", src, err, want)
		}
	}
}

// TestPathWithoutAPart: a path of which a part is missing or empty is none: it
// would ask for something else, such as the whole list.
func TestPathWithoutAPart(t *testing.T) {
	e, err := ParsePathExpr(`"/v1/orders/${request.body.id}"`, "request")
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"id":"a/b?c=d&e"}`:      "/v1/orders/a%2Fb%3Fc%3Dd%26e",
		`{"id":9007199254740993}`: "/v1/orders/9007199254740993",
		`{"id":""}`:               "", `{"id":null}`: "", `{}`: "", `not json`: "",
	} {
		if got, ok := e.String(source{body: body}); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", body, got, ok, want)
		}
	}
	if refs := e.Refs(); len(refs) != 1 || refs[0].Name != "request.body" || refs[0].Path != "id" {
		t.Errorf("%+v", refs)
	}
}

// TestRefsInOrder: the names that an expression reads are listed in the order in which
// they are written: what is made for a sample goes where it reads first.
func TestRefsInOrder(t *testing.T) {
	for range 20 {
		e, err := ParseExpr(`body.a == null ? "${body.b} ${coalesce(body.c, body.d, body.a)}" : body.e`, "items")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range e.Refs() {
			got += r.Path
		}
		if got != "abcde" {
			t.Fatalf("read in the order %s", got)
		}
	}
}
