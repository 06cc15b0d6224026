package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-proxy/postern/deploy"
)

// suits warns of what a policy and the workload that runs it make of each other:
// a store that is a file, and tokens that cross a network in the clear.
func (l *loaded) suits(stdin io.Reader, manifests []string) (diags hcl.Diagnostics, err error) {
	if len(manifests) == 0 || l.Context == nil {
		return nil, nil
	}
	if !local(l.Proxy.Listen) && l.Proxy.TLS == nil {
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagWarning, Summary: "Proxy without TLS",
			Detail: fmt.Sprintf("proxy.listen is %q, which other pods reach, and clients send their tokens to it in the clear. Write a tls block, or listen on loopback as a sidecar does.", l.Proxy.Listen),
		})
	}
	text, _ := l.Store.URL.Literal()
	file, sqlite := strings.CutPrefix(text, "sqlite:")
	for _, name := range manifests {
		stream, err := manifest(stdin, name)
		if err != nil {
			return nil, err
		}
		found, runs, err := deploy.Review(stream, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if runs == 0 {
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "No workload of Postern", Detail: fmt.Sprintf("%s has no container called postern, nor one of an image of that name: nothing was compared.", name)})
		}
		if !sqlite {
			continue
		}
		for _, f := range found {
			d := &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: f.Summary, Detail: fmt.Sprintf("%s:%d: %s", name, f.Line, f.Detail)}
			if at := l.Store.Range; at.Filename != "" {
				d.Subject = &at
			}
			diags = append(diags, d)
		}
	}
	return diags, nil
}

// local says whether only this machine, or pod, reaches an address.
func local(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || notIP == nil && ip.IsLoopback())
}
