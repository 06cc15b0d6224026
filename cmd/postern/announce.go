package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
	"github.com/postern-proxy/postern/policy"
)

// announce says where everything listens, what cannot be used yet, and what to
// do next.
func (g *gate) announce(w io.Writer) {
	l := g.now.Load()
	trust, _ := filepath.Abs(string(l.Proxy.Trust))
	fmt.Fprintf(w, "postern is running.\n\n")
	fmt.Fprintf(w, "  outbound  %s://%s   HTTPS_PROXY of applications; trust %s\n", urlScheme(l.Proxy.TLS), g.proxy.Addr(), filepath.Join(trust, "ca.pem"))
	fmt.Fprintf(w, "  inbound   %s://%s   webhooks\n", urlScheme(l.Inbound.TLS), g.webhooks.Addr())
	fmt.Fprintf(w, "  admin     %s://%s   health, metrics, API\n", urlScheme(l.Admin.TLS), g.admin.Addr())
	if g.connect != nil {
		fmt.Fprintf(w, "  connect   %s://%s   customers, who see %s\n", urlScheme(l.Connect.TLS), g.connect.Addr(), l.Connect.PublicURL)
	}
	promise, _ := g.db.Promise()
	fmt.Fprintf(w, "  store     %s: %s\n", g.db.Where(), promise)
	g.announceSeal(w, l)
	if g.db.Members() != nil {
		fmt.Fprintf(w, "  replica   %s, one of those that share the store\n", g.self.ID)
	}
	fmt.Fprintln(w)
	missing := l.missing()
	for _, name := range l.outbound.Providers() {
		p := l.outbound.Provider(name)
		fmt.Fprintf(w, "  provider  %s: %s\n", name, hosts(p))
		if a := g.proxy.Port(p.Listen); a != nil {
			fmt.Fprintf(w, "            base URL http://%s\n", a)
		}
		explainMissing(w, missing["provider "+name])
	}
	if len(l.outbound.Providers()) == 0 {
		fmt.Fprintf(w, "  provider  none: write one into %s, such as\n\n            provider \"stripe\" {\n              catalog = \"stripe\"\n              credential \"bearer\" { token = env(\"STRIPE_KEY\") }\n            }\n\n", filepath.Join(l.Folder, "stripe.hcl"))
	}
	for _, hook := range l.hooks {
		fmt.Fprintf(w, "  webhook   %s: %s://%s%s", hook.Name, urlScheme(l.Inbound.TLS), g.webhooks.Addr(), hook.Path)
		for _, d := range hook.Deliver {
			if d.Pull {
				fmt.Fprintf(w, " -> %s, by its workers", fallback(d.Name, hook.Name))
				continue
			}
			fmt.Fprintf(w, " -> %s", d.To)
		}
		fmt.Fprintln(w)
		explainMissing(w, missing["webhook "+hook.Name])
	}
	for _, process := range []string{"proxy", "admin"} {
		if len(missing[process]) > 0 {
			fmt.Fprintf(w, "  %s\n", process)
			explainMissing(w, missing[process])
		}
	}
	g.next(w, l)
}

// next names commands that can be copied as they are.
func (g *gate) next(w io.Writer, l *loaded) {
	postern := "postern"
	if g.path != "." {
		postern += " -c " + g.path
	}
	fmt.Fprintf(w, "\nNext, in another terminal:\n\n")
	for _, c := range [][2]string{
		{"Run an application through it", "exec -- COMMAND"},
		{"See what happens to a call", "explain " + sample(l.outbound)},
		{"See the webhooks that came", "inbox list"},
		{"See whether it is ready", "health"},
		{"Try the policy offline", "test"},
	} {
		fmt.Fprintf(w, "  %-31s%s %s\n", c[0], postern, c[1])
	}
	fmt.Fprintln(w)
}

// sample is a call that the first provider knows.
func sample(set *policy.Set) string {
	names := set.Providers()
	if len(names) == 0 {
		return "GET https://HOST/PATH"
	}
	p := set.Provider(names[0])
	method, path := "GET", "/"
	for _, label := range p.Labels() {
		m, rest, ok := strings.Cut(label, " ")
		if ok && strings.HasPrefix(rest, "/") && !strings.ContainsAny(rest, "{*") {
			method, path = m, rest
			break
		}
	}
	return fmt.Sprintf("%s https://%s%s", method, strings.Replace(string(p.Hosts[0]), "*", "www", 1), path)
}

func hosts(p *policy.Provider) string {
	var names []string
	for _, h := range p.Hosts {
		names = append(names, string(h))
	}
	return strings.Join(names, ", ")
}

func urlScheme(tls *block.TLS) string {
	if tls != nil {
		return "https"
	}
	return "http"
}

// An absence is one secret that is not there yet.
type absence struct {
	cure string
	part bool // the rest works: it is one of several secrets, or of one route
}

func explainMissing(w io.Writer, list []absence) {
	for _, a := range list {
		state := "not usable yet"
		if a.part {
			state = "usable in part"
		}
		fmt.Fprintf(w, "            %s: %s\n", state, a.cure)
	}
}

// missing lists the secrets that are not there yet by the outermost block that
// needs them.
func (l *loaded) missing() map[string][]absence {
	out := map[string][]absence{}
	for _, d := range l.Context.Resolve(context.Background()) {
		m, ok := d.Extra.(block.Missing)
		if !ok {
			continue
		}
		b, part := l.around(*d.Subject)
		if b == nil {
			continue
		}
		name := strings.Join(append([]string{b.Type}, b.Labels...), " ")
		if a := (absence{m.Cure, part}); !slices.Contains(out[name], a) {
			out[name] = append(out[name], a)
		}
	}
	return out
}

// around returns the outermost block in which a secret is written, and whether
// it is a part of that only.
func (l *loaded) around(at hcl.Range) (outermost *hclsyntax.Block, part bool) {
	f := l.Files[at.Filename]
	if f == nil {
		return nil, false
	}
	body := f.Body.(*hclsyntax.Body)
	for body != nil {
		var inner *hclsyntax.Body
		for _, b := range body.Blocks {
			if b.Range().ContainsPos(at.Start) {
				inner = b.Body
				part = part || b.Type == "route" || b.Type == "client"
				if outermost == nil {
					outermost = b
				}
			}
		}
		for _, a := range body.Attributes {
			if list, ok := a.Expr.(*hclsyntax.TupleConsExpr); ok && len(list.Exprs) > 1 && list.Range().ContainsPos(at.Start) {
				part = true
			}
		}
		body = inner
	}
	return outermost, part
}
