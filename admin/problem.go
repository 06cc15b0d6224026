package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
)

// A Problem is an answer that says no (RFC 9457, application/problem+json). Its
// type is always about:blank: the status says what kind it is.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"` // what to do next
}

// Error is one sentence, and what to do next.
func (p *Problem) Error() string {
	s := p.Detail
	if s == "" {
		s = p.Title
	}
	if p.Hint != "" {
		s += ". " + p.Hint
	}
	return s
}

// Refuse makes a problem: what is the matter, and what to do next.
func Refuse(status int, hint, detail string) *Problem {
	return refuse(status, hint, "%s", detail)
}

func refuse(status int, hint, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...), Hint: hint}
}

// answering adapts a function whose result is the answer.
func answering(f func(*Server, *http.Request) (any, error)) func(*Server, http.ResponseWriter, *http.Request) {
	return answeringWith(http.StatusOK, f)
}

// creating is the same for something that there was not before.
func creating(f func(*Server, *http.Request) (any, error)) func(*Server, http.ResponseWriter, *http.Request) {
	return answeringWith(http.StatusCreated, f)
}

func answeringWith(status int, f func(*Server, *http.Request) (any, error)) func(*Server, http.ResponseWriter, *http.Request) {
	return func(s *Server, w http.ResponseWriter, r *http.Request) {
		v, err := f(s, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		write(w, status, "application/json", v)
	}
}

// fail answers with a problem. What is none is a failure of ours, and logged.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		if r.Context().Err() != nil {
			return // nobody hears it
		}
		level := slog.LevelError
		p = refuse(http.StatusInternalServerError, "", "%v", err)
		if s.draining.Load() { // the store is closed while the last requests are still heard
			level = slog.LevelInfo
			p = refuse(http.StatusServiceUnavailable, "Ask again when it has been started anew.", "this process is ending")
		}
		s.opt.Log.Log(r.Context(), level, "the admin API failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	write(w, p.Status, "application/problem+json", p)
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, kind, text = http.StatusInternalServerError, "application/problem+json", []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	text = append(text, '\n')
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
