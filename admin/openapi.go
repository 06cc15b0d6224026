package admin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object of the document.
type object = map[string]any

// document describes the API (OpenAPI 3.1): paths by the table of routes, and
// schemas by the very types that are sent.
func document(table []route, version string) []byte {
	d := describer{schemas: object{}}
	paths := object{}
	for i := range table {
		r := &table[i]
		if !r.isAPI() {
			continue
		}
		methods, ok := paths[r.path].(object)
		if !ok {
			methods = object{}
			paths[r.path] = methods
		}
		methods[strings.ToLower(r.method)] = d.operation(r)
	}
	d.schema(reflect.TypeFor[Problem]())
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Postern admin API", "version": version,
			"description": "What is running, the webhooks and the calls that are stored, and the connections of accounts. Names and fields are promises; new ones may be added.",
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []object{{"url": "/"}},
		"security": []object{{}, {"token": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas":         d.schemas,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "The token of the admin block, if it has one."}},
		},
	}, "", "  ")
	if err != nil {
		panic(err) // the document is made of constants and types of this package
	}
	return append(text, '\n')
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.document)
}

type describer struct{ schemas object }

func (d *describer) operation(r *route) object {
	op := object{"operationId": r.id, "summary": r.summary}
	var params []object
	for rest := r.path; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			break
		}
		name, after, _ := strings.Cut(after, "}")
		params = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		rest = after
	}
	for _, p := range r.query {
		params = append(params, object{"name": p.name, "in": "query", "description": p.about, "schema": paramSchema(p.name)})
	}
	if params != nil {
		op["parameters"] = params
	}
	if r.body != nil {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": d.schema(reflect.TypeOf(r.body))}}}
	}
	content := object{"application/json": object{"schema": d.schema(reflect.TypeOf(r.answer))}}
	if _, file := r.answer.([]byte); file {
		content = object{"application/octet-stream": object{}}
	}
	op["responses"] = object{
		strconv.Itoa(cmp.Or(r.status, http.StatusOK)): object{"description": "Done.", "content": content},
		"default": object{"description": "Refused or failed.", "content": object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}}},
	}
	return op
}

func paramSchema(name string) object {
	switch name {
	case "webhook":
		return object{"type": "array", "items": object{"type": "string"}}
	case "limit":
		return object{"type": "integer", "minimum": 1, "maximum": 1000}
	case "wait":
		return object{"type": "integer", "minimum": 0, "maximum": 30}
	case "since", "until":
		return object{"type": "string", "format": "date-time"}
	}
	return object{"type": "string"}
}

// schema describes a type; a struct is described once, under its name.
func (d *describer) schema(t reflect.Type) object {
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return object{}
		}
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return object{"type": "string", "format": "date-time"}
		}
		if d.schemas[t.Name()] == nil {
			d.schemas[t.Name()] = object{} // a type may hold itself
			d.schemas[t.Name()] = d.properties(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	return object{}
}

func (d *describer) properties(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous { // its fields follow
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = d.schema(f.Type)
		if options == "" {
			required = append(required, name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required}
}
