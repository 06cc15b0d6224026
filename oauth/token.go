package oauth

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/postern-proxy/postern/backoff"
)

// A Token is what a server grants. It holds secrets: it is kept sealed, and
// prints as [redacted].
type Token struct {
	Access  string // for the Authorization header
	Refresh string // "" if the answer has none: the one before, if any, is still good
	Type    string // as the server writes it, such as Bearer, bearer or bot; "" if it does not say
	ID      string // the id_token of OpenID Connect, not verified

	Expiry        time.Time // of Access; zero if unknown or never
	RefreshExpiry time.Time // of Refresh; zero if unknown or never

	// Scopes are what was granted. Nil means that the answer does not say: then
	// it is what was asked for (RFC 6749 §5.1). Empty means none.
	Scopes []string

	// Raw is the answer as JSON, also where it was a form: other things that
	// providers put there, such as instance_url, are read from it.
	Raw []byte
}

// ReadToken reads the answer to a token request that was sent at the time sent.
// It takes a 200 or 201 with a JSON object or a form, and is strict with what
// names the token and lenient with what describes it: a lifetime that cannot be
// read is an unknown one, but a token that is no string, or that stands there
// twice, is refused. A 200 that says error is one. The error is an [*Error].
func (s *Server) ReadToken(status int, header http.Header, body []byte, sent time.Time) (*Token, error) {
	if len(body) > maxBody {
		return nil, &Error{Status: status, Executed: true, Err: errHuge}
	}
	t, e := s.read(&answer{status, header, body}, sent, new(mask), false)
	if e != nil {
		return nil, e
	}
	return t, nil
}

func (s *Server) read(a *answer, sent time.Time, m *mask, anywhere bool) (*Token, *Error) {
	if e := a.refusal(m); e != nil {
		return nil, e
	}
	t, err := s.granted(a.object(), a.clock(sent), anywhere)
	if err != nil {
		return nil, &Error{Status: a.status, Executed: true, Err: err}
	}
	return t, nil
}

// granted reads the token out of a whole answer, which is nil if it is no
// object.
func (s *Server) granted(raw []byte, c clock, anywhere bool) (*Token, error) {
	if raw == nil {
		return nil, errors.New("it is neither a JSON object nor a form")
	}
	in, err := s.place(raw, anywhere)
	if err != nil {
		return nil, err
	}
	name := or(s.TokenName, "access_token")
	get, err := fields(in, name, "refresh_token", "id_token")
	if err != nil {
		return nil, err
	}
	t := &Token{Raw: raw, Scopes: scopesOf(get["scope"], s.Separator)}
	for _, f := range []struct {
		name string
		to   *string
	}{{name, &t.Access}, {"refresh_token", &t.Refresh}, {"id_token", &t.ID}} {
		if *f.to, err = secretOf(get[f.name], f.name); err != nil {
			return nil, err
		}
	}
	if t.Access == "" {
		return nil, fmt.Errorf("it has no %q", name)
	}
	if v := get["token_type"]; v.Type == gjson.String {
		t.Type = v.Str
	}
	t.Expiry = s.expiry(get, c)
	t.RefreshExpiry = refreshExpiry(get, c)
	return t, nil
}

// place is the object that the token stands in. An answer to a refresh may have
// the token at the top where the first one had it below (Slack).
func (s *Server) place(raw []byte, anywhere bool) (gjson.Result, error) {
	top := gjson.ParseBytes(raw)
	if s.TokenField == "" {
		return top, nil
	}
	in := top.Get(s.TokenField)
	if in.IsObject() && (!anywhere || in.Get(gjson.Escape(or(s.TokenName, "access_token"))).Exists()) {
		return in, nil
	}
	if anywhere {
		return top, nil
	}
	return in, fmt.Errorf("it has no %q, where the token should stand", s.TokenField)
}

// fields are the members of an object. Of two with the same name the first
// counts, but tokens that differ could be meant either way.
func fields(in gjson.Result, tokens ...string) (get map[string]gjson.Result, err error) {
	get = map[string]gjson.Result{}
	in.ForEach(func(key, value gjson.Result) bool {
		first, twice := get[key.Str]
		if !twice {
			get[key.Str] = value
		} else if first.Raw != value.Raw && slices.Contains(tokens, key.Str) {
			err = fmt.Errorf("it has two different values for %q", key.Str)
		}
		return err == nil
	})
	return get, err
}

// secretOf is a token, or "" where there is none.
func secretOf(v gjson.Result, name string) (string, error) {
	switch {
	case v.Type == gjson.Null: // also absent
		return "", nil
	case v.Type != gjson.String:
		return "", fmt.Errorf("its %q is no string", name)
	case strings.ContainsFunc(v.Str, func(r rune) bool { return r < ' ' || r > '~' }):
		return "", fmt.Errorf("its %q holds characters that a token has not", name)
	}
	return v.Str, nil
}

// object is the body as JSON: as it is, or made of a form. GitHub answers with
// a form unless asked otherwise. It is nil if the body is neither.
func (a *answer) object() []byte {
	body := bytes.TrimSpace(bytes.TrimPrefix(a.body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return nil
	}
	if body[0] == '{' && gjson.ValidBytes(body) {
		return body
	}
	if bytes.ContainsAny(body, "<>{}[]\"\r\n ") {
		return nil // as form encoding never has them
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("access_token") && !form.Has("error") {
		return nil
	}
	return formObject(form)
}

// formObject writes a form as a JSON object, members that are there twice
// included.
func formObject(form url.Values) []byte {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	out := []byte{'{'}
	for _, name := range names {
		for _, value := range form[name] {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(gjson.AppendJSONString(out, name), ':')
			out = gjson.AppendJSONString(out, value)
		}
	}
	return append(out, '}')
}

// refusal is the error that an answer tells, nil if it tells none.
func (a *answer) refusal(m *mask) *Error {
	top := gjson.ParseBytes(a.object())
	code, description := said(top)
	good := a.status == http.StatusOK || a.status == http.StatusCreated
	if good && code == "" {
		return nil
	}
	for _, name := range []string{"access_token", "refresh_token", "id_token", "token"} {
		m.hide(top.Get(name).String())
	}
	wait, _ := backoff.RetryAfter(a.header, time.Now(), maxRetry)
	return &Error{Code: cleanCode(m, code), Description: m.clean(description), Status: a.status, Executed: true, RetryAfter: wait}
}
