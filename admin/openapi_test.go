package admin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-proxy/postern/seal"
)

type apiDocument struct {
	OpenAPI    string `json:"openapi"`
	Paths      map[string]map[string]operation
	Components struct {
		Schemas map[string]map[string]any
	}
}

type operation struct {
	OperationID string `json:"operationId"`
	Summary     string `json:"summary"`
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	RequestBody *struct {
		Content map[string]struct{ Schema map[string]any }
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct{ Schema map[string]any }
	}
}

// success is the status of an answer that says yes, "" if none is described.
func (o *operation) success() string {
	for _, status := range []string{"200", "201"} {
		if o.Responses[status].Content != nil {
			return status
		}
	}
	return ""
}

func readDocument(t *testing.T, l *listener) (d apiDocument) {
	t.Helper()
	a := l.ask("GET", "/api/v1/openapi.json", "")
	if err := json.Unmarshal([]byte(a.body), &d); err != nil || a.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, a.body)
	}
	return d
}

// TestOpenAPIRoutes compares the document with what is served.
func TestOpenAPIRoutes(t *testing.T) {
	d := readDocument(t, serve(t, `admin {}`))
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %q", d.OpenAPI)
	}
	var served, described, names []string
	for _, r := range routes() {
		if r.isAPI() {
			served = append(served, r.method+" "+r.path)
		}
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			names = append(names, op.OperationID)
			if op.OperationID == "" || op.Summary == "" || op.success() == "" || op.Responses["default"].Content["application/problem+json"].Schema == nil {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			var inPath []string
			for _, p := range op.Parameters {
				if p.In == "path" && p.Required {
					inPath = append(inPath, "{"+p.Name+"}")
				}
			}
			if want := regexp.MustCompile(`\{[^}]*\}`).FindAllString(path, -1); !slices.Equal(inPath, want) {
				t.Errorf("%s: parameters %v", path, inPath)
			}
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served %v\ndescribed %v", served, described)
	}
	if slices.Sort(names); len(slices.Compact(names)) != len(described) {
		t.Errorf("two operations have one id: %v", names)
	}
	for name, schema := range d.Components.Schemas {
		if name == "" || schema["type"] != "object" || len(schema["properties"].(map[string]any)) == 0 {
			t.Errorf("schema %q: %v", name, schema)
		}
	}
}

// TestOpenAPIAnswers compares the document with real answers, and its
// parameters with those that are taken.
func TestOpenAPIAnswers(t *testing.T) {
	l := serve(t, `admin {}`)
	fill(l)
	l.granted("acme", "a1")
	l.granted("other", "a1")
	l.failed("e0")
	d := readDocument(t, l)
	leases := pulls(l)
	bodies := map[string]string{
		"/api/v1/inbox/replay": `{"filter":{"status":"failed"},"limit":1}`, "/api/v1/inbox/release": `{"all":true,"dry_run":true}`, "/api/v1/inbox/discard": `{"filter":{"ids":["none"]}}`,
		"/api/v1/outbox/replay": `{"filter":{"status":"failed"},"limit":1,"force":true}`, "/api/v1/outbox/discard": `{"all":true,"dry_run":true}`, "/api/v1/outbox/resolve": `{"filter":{"ids":["e0"]},"executed":true}`,
		"/api/v1/inbox/reconcile":    `{"webhook":"github","since":"24h","dry_run":true}`,
		"/api/v1/connect-sessions":   `{"provider":"acme","account":"a","credential":"oauth2","return_to":"/x"}`,
		"/api/v1/connections/export": fmt.Sprintf(`{"key":%q,"provider":"acme","limit":1,"cursor":""}`, seal.Generate()),
		"/api/v1/connections/import": `{"key":"","overwrite":true,"connections":[{"provider":"acme","account":"new","access_token":"x","scopes":["a"],"expires_at":"2100-01-01T00:00:00Z","answer":{"x":1}},{"provider":"nobody","account":""}]}`,
		"/api/v1/secrets/reseal":     `{"provider":"acme","hosts":true,"cursor":""}`,
		"/api/v1/inbox/ack":          fmt.Sprintf(`{"lease":%q}`, leases[0]),
		"/api/v1/inbox/nack":         fmt.Sprintf(`{"lease":%q,"reason":"x","delay":"1m","fail":false}`, leases[1]),
		"/api/v1/inbox/extend":       fmt.Sprintf(`{"lease":%q,"by":"1m"}`, leases[2]),
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			target := strings.NewReplacer("{id}", "e0", "{provider}", map[bool]string{true: "other", false: "acme"}[strings.HasSuffix(path, "/revoke")]).Replace(path)
			if strings.Contains(path, "{provider}") {
				target += "?account=a1" // acme has several by now
			}
			if strings.HasSuffix(path, "/claim") {
				target += "?webhook=queue"
			}
			with := "?"
			if strings.Contains(target, "?") {
				with = "&"
			}
			for _, p := range op.Parameters {
				if p.In == "query" {
					value := map[string]string{"state": "active", "credential": "oauth2", "webhook": "github", "provider": "github", "status": "failed", "since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z", "limit": "1", "cursor": "", "target": "worker", "max": "1", "lease": "1s", "wait": map[bool]string{true: "0s"}[strings.HasSuffix(path, "/claim")], "kind": "async", "outcome": "timeout"}[p.Name]
					if strings.Contains(target, "?"+p.Name+"=") {
						continue // it is there already
					}
					if a := l.ask(strings.ToUpper(method), target+with+p.Name+"="+value, ""); a.StatusCode != 200 {
						t.Errorf("%s does not take %s: %s", path, p.Name, a.body)
					}
				}
			}
			var sent any
			if bodies[path] != "" && op.RequestBody != nil {
				_ = json.Unmarshal([]byte(bodies[path]), &sent)
				d.fits(t, path+" request", op.RequestBody.Content["application/json"].Schema, sent)
			}
			a := l.ask(strings.ToUpper(method), target, bodies[path])
			content, ok := op.Responses[op.success()].Content[a.Header.Get("Content-Type")]
			if strconv.Itoa(a.StatusCode) != op.success() || !ok {
				t.Errorf("%s %s: %d %s", method, path, a.StatusCode, a.Header.Get("Content-Type"))
				continue
			}
			if content.Schema != nil {
				var got any
				if err := json.Unmarshal([]byte(a.body), &got); err != nil {
					t.Fatal(err)
				}
				d.fits(t, path, content.Schema, got)
			}
		}
	}
	var got any
	_ = json.Unmarshal([]byte(l.ask("GET", "/nothing", "").body), &got)
	d.fits(t, "a problem", d.Components.Schemas["Problem"], got)
}

// fits checks v against the few words of JSON Schema that the document uses.
func (d *apiDocument) fits(t *testing.T, where string, schema map[string]any, v any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		d.fits(t, where, d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")], v)
		return
	}
	if schema != nil && len(schema) == 0 {
		return // anything
	}
	switch v := v.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, field := range v {
			if p, ok := properties[name].(map[string]any); ok {
				d.fits(t, where+"."+name, p, field)
			} else if more, ok := schema["additionalProperties"].(map[string]any); ok {
				d.fits(t, where+"."+name, more, field)
			} else if properties != nil || schema["type"] != "object" {
				t.Errorf("%s.%s is not described", where, name)
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				t.Errorf("%s: %s is missing", where, name)
			}
		}
		mustBe(t, where, schema, "object")
	case []any:
		mustBe(t, where, schema, "array")
		for i, item := range v {
			d.fits(t, fmt.Sprintf("%s[%d]", where, i), schema["items"].(map[string]any), item)
		}
	case string:
		mustBe(t, where, schema, "string")
	case bool:
		mustBe(t, where, schema, "boolean")
	case float64:
		mustBe(t, where, schema, "number", "integer")
	default:
		if len(schema) > 0 {
			t.Errorf("%s is %v, and that is not described", where, v)
		}
	}
}

func mustBe(t *testing.T, where string, schema map[string]any, kinds ...string) {
	t.Helper()
	if kind, ok := schema["type"].(string); ok && !slices.Contains(kinds, kind) {
		t.Errorf("%s is described as %s, and is %v", where, kind, kinds)
	}
}
