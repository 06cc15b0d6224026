package op

import (
	"html/template"
	"net/http"
)

// question is what a person is asked.
type question struct {
	Client string
	Scopes []string
}

// page goes back to its own address, which holds the client's question.
var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head><body>
<h1>{{.Client}} wants access</h1>
<form method="post">
<label>You are <input name="user" id="user" required></label>
{{range .Scopes}}<label><input type="checkbox" name="granted" value="{{.}}" checked> {{.}}</label>
{{end}}<button name="answer" value="allow" id="allow">Allow</button>
<button name="answer" value="deny" id="deny">Deny</button>
</form></body></html>
`))

func show(w http.ResponseWriter, q question) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	page.Execute(w, q)
}
