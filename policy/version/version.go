// Package version is the stage that pins the version of an API.
package version

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// Feature returns the feature. mismatch is told when a provider answered with
// another version than the pinned one; it must not block.
func Feature(mismatch func(provider string)) policy.Feature {
	return policy.Feature{Name: "version", New: func() policy.Block { return &Block{mismatch: mismatch} }}
}

// Block is a version block. One of Header, Path and Query says where the
// version goes.
type Block struct {
	Header string      `hcl:"header,optional"`
	Path   string      `hcl:"path,optional"`  // beginning of the path with {version} in one segment: "v{version}", "admin/api/{version}"
	Query  string      `hcl:"query,optional"` // name of the parameter
	Pin    string      `hcl:"pin"`
	Echo   *block.Expr `hcl:"echo,optional" scope:"response"` // the version that the provider says it used

	mismatch func(provider string)
}

// Check wants exactly one place, and a version that can stand there.
func (b *Block) Check() error {
	places := 0
	for _, p := range []string{b.Header, b.Path, b.Query} {
		if p != "" {
			places++
		}
	}
	if b.Header != "" {
		if err := policy.CheckHeader(b.Header); err != nil {
			return block.At("header", "%w", err)
		}
	}
	switch {
	case places != 1:
		return block.At("pin", "say where the version goes by one of header, path and query")
	case b.Path != "" && strings.Count(b.Path, "{version}") != 1:
		return block.At("path", "%q has not exactly one {version}", b.Path)
	case b.Pin == "" || strings.ContainsFunc(b.Pin, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return block.At("pin", "%q is not a version of visible ASCII characters", b.Pin)
	case b.Path != "" && url.PathEscape(b.Pin) != b.Pin:
		return block.At("pin", "%q cannot stand in a path", b.Pin)
	}
	return nil
}

// Stage compiles the block.
func (b *Block) Stage(s policy.Scope) (policy.Stage, error) {
	place := "header " + b.Header
	if b.Path != "" {
		place = "path " + b.Path
	} else if b.Query != "" {
		place = "query " + b.Query
	}
	return policy.Stage{
		Summary:     fmt.Sprintf("%s = %s", place, b.Pin),
		ReadsAnswer: b.Echo != nil && b.Echo.Reads("response.body"),
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return policy.RoundTripper(func(r *http.Request) (*http.Response, error) {
				x := policy.From(r.Context())
				if was := b.pin(r); was != "" && was != b.Pin && x.Attempts == 0 {
					x.Note("version", "overrode", was)
				}
				resp, err := next.RoundTrip(r)
				if err == nil && b.Echo != nil {
					if got, ok := b.Echo.String(x); ok && got != b.Pin {
						x.Note("version", "answered_with", got)
						b.mismatch(s.Provider)
					}
				}
				return resp, err
			})
		},
	}, nil
}

// pin sets the version, and returns what was there.
func (b *Block) pin(r *http.Request) (was string) {
	switch {
	case b.Header != "":
		was = strings.Join(policy.HeaderValues(r.Header, b.Header), ", ")
		policy.SetHeader(r.Header, b.Header, b.Pin)
	case b.Query != "":
		was = strings.Join(policy.QueryValues(r.URL.RawQuery, b.Query), ", ")
		policy.SetQuery(r.URL, b.Query, b.Pin)
	default:
		was = b.pinPath(r.URL)
	}
	return was
}

// pinPath replaces the segment of the path where the version stands. A path
// that does not begin like the template has no version, and stays.
func (b *Block) pinPath(u *url.URL) (was string) {
	want := strings.Split(strings.Trim(b.Path, "/"), "/")
	have := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if len(have) < len(want) {
		return ""
	}
	for i, w := range want {
		before, after, isVersion := strings.Cut(w, "{version}")
		if !isVersion && w != have[i] {
			return ""
		}
		if isVersion {
			if len(have[i]) <= len(before)+len(after) || !strings.HasPrefix(have[i], before) || !strings.HasSuffix(have[i], after) {
				return ""
			}
			was = have[i][len(before) : len(have[i])-len(after)]
			if before != "" && (was[0] < '0' || was[0] > '9') {
				return "" // "v{version}" is not the "v" of "videos"
			}
			have[i] = before + b.Pin + after
		}
	}
	policy.SetPath(u, "/"+strings.Join(have, "/"))
	return was
}
