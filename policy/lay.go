package policy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
)

// laid is one block after overlaying: catalogue, then provider, then route.
type laid struct {
	name, label string
	body        *hclsyntax.Body
	ranges      []hcl.Range // of what was laid over each other
	own         bool        // the innermost layer has a part in it
	offered     bool        // a credential of the catalogue, which counts where a policy names its kind
	stage       *PlannedStage
}

// lay lays the blocks of layers over base; the first layers, so many, are the
// catalogue's. A block is identified by its type and label; credentials replace
// the set before them, and outcomes come before those before them, because these
// two are ordered lists.
func (c *compiler) lay(base []*laid, layers []hclsyntax.Blocks, catalogued int) []*laid {
	var out []*laid
	for _, l := range base {
		inherited := *l
		inherited.own = false
		out = append(out, &inherited)
	}
	for i, blocks := range layers {
		replaced := map[string][]*laid{}
		var first []*laid
		for _, b := range blocks {
			if b.Type == "route" {
				continue
			}
			l := &laid{name: b.Type, body: b.Body, ranges: []hcl.Range{b.DefRange()}, own: true}
			if len(b.Labels) > 0 {
				l.label = b.Labels[0]
			}
			switch f := c.feature(l, b); {
			case f == nil:
			case f.Group != nil:
				first = append(first, l)
			case f.Kind != "":
				if _, again := replaced[b.Type]; !again {
					out, replaced[b.Type] = replace(out, b.Type)
				}
				l.offered = i < catalogued
				replaced[b.Type] = l.take(replaced[b.Type])
				out = append(out, l)
			default:
				out = c.over(out, l, blocks, b)
			}
		}
		out = append(first, out...)
	}
	return out
}

// replace takes the blocks of a type out of all. Those of the catalogue stay, as
// an offer to the layers to come.
func replace(all []*laid, name string) (kept, replaced []*laid) {
	var offers []*laid
	for _, l := range all {
		if l.name != name || l.offered {
			kept = append(kept, l)
		}
		switch {
		case l.name == name && l.offered:
			offers = append(offers, l)
		case l.name == name:
			replaced = append(replaced, l)
		}
	}
	return kept, append(replaced, offers...)
}

// take lays l over the first block of its kind that is replaced, and returns the
// others.
func (l *laid) take(replaced []*laid) []*laid {
	at := slices.IndexFunc(replaced, func(o *laid) bool { return o.label == l.label })
	if at < 0 || l.offered {
		return replaced
	}
	l.body = block.Overlay(replaced[at].body, l.body)
	l.ranges = append(slices.Clone(replaced[at].ranges), l.ranges...)
	return slices.Delete(replaced, at, at+1)
}

// over lays l over the block of the same identity in out, or appends it.
func (c *compiler) over(out []*laid, l *laid, blocks hclsyntax.Blocks, b *hclsyntax.Block) []*laid {
	at := slices.IndexFunc(out, func(o *laid) bool { return o.name == l.name && o.label == l.label })
	if at < 0 {
		return append(out, l)
	}
	if first := slices.IndexFunc(blocks, func(o *hclsyntax.Block) bool { return o.Type == b.Type && slices.Equal(o.Labels, b.Labels) }); blocks[first] != b {
		c.fail("Duplicate "+b.Type, fmt.Sprintf("The first one is at %s.", blocks[first].DefRange()), b.DefRange())
		return out
	}
	l.body = block.Overlay(out[at].body, l.body)
	l.ranges = append(slices.Clone(out[at].ranges), l.ranges...)
	out[at] = l
	return out
}

// feature finds what a block asks for; nil, with a diagnostic, if there is none.
func (c *compiler) feature(l *laid, b *hclsyntax.Block) *Feature {
	if f := c.lookup(l); f != nil {
		return f
	}
	var kinds []string
	for _, f := range c.features {
		if f.Name == l.name && f.Kind != "" {
			kinds = append(kinds, f.Kind)
		}
	}
	detail := fmt.Sprintf("There is no %s %q here. Known are: %s.", l.name, l.label, strings.Join(kinds, ", "))
	if s := block.Suggest(l.label, kinds); s != "" {
		detail = fmt.Sprintf("There is no %s %q. Did you mean %q?", l.name, l.label, s)
	}
	c.fail("Unknown "+l.name, detail, b.LabelRanges[0])
	return nil
}

// lookup is feature for a block that may have been reported already.
func (c *compiler) lookup(l *laid) *Feature {
	at := slices.IndexFunc(c.features, func(f Feature) bool { return f.Name == l.name && (f.Named || f.Kind == l.label) })
	if at < 0 {
		return nil
	}
	return &c.features[at]
}

// stages compiles blocks in the order of the features. Where a route has no
// part in a block, the provider's stage is used as it is, with its state.
func (c *compiler) stages(scope Scope, blocks []*laid, shared []*PlannedStage) (out []*PlannedStage) {
	done := map[string]bool{}
	for i := range c.features {
		f := &c.features[i]
		if done[f.Name] {
			continue // kinds of one block type come together, in the order of the file
		}
		done[f.Name] = true
		var mine []*laid
		for _, l := range blocks {
			if l.name == f.Name && !l.offered {
				mine = append(mine, l)
			}
		}
		slices.SortStableFunc(mine, func(a, b *laid) int { return c.turn(a) - c.turn(b) })
		switch {
		case f.Group != nil:
			out = append(out, c.group(scope, f, mine, shared)...)
		case len(mine) == 0 && f.Always:
			out = append(out, c.inherit(scope, f.Name, shared, &laid{name: f.Name, body: &hclsyntax.Body{}})...)
		default:
			for _, l := range mine {
				if l.own || l.stage == nil {
					l.stage = c.stage(scope, l)
				}
				if l.stage != nil {
					out = append(out, l.stage)
				}
			}
		}
	}
	return out
}

// turn is 1 for a block whose feature comes last of its type, else 0.
func (c *compiler) turn(l *laid) int {
	if f := c.lookup(l); f != nil && f.Last {
		return 1
	}
	return 0
}

// inherit returns the provider's stage of that name, or compiles l.
func (c *compiler) inherit(scope Scope, name string, shared []*PlannedStage, l *laid) []*PlannedStage {
	for _, st := range shared {
		if st.Name == name {
			return []*PlannedStage{st}
		}
	}
	if st := c.stage(scope, l); st != nil {
		return []*PlannedStage{st}
	}
	return nil
}

// group compiles an ordered list to one stage.
func (c *compiler) group(scope Scope, f *Feature, mine []*laid, shared []*PlannedStage) []*PlannedStage {
	if !slices.ContainsFunc(mine, func(l *laid) bool { return l.own }) && shared != nil {
		return c.inherit(scope, f.Name, shared, nil)
	}
	var blocks []Block
	ps := &PlannedStage{Name: f.Name}
	for _, l := range mine {
		b, ok := c.decode(f, l)
		if !ok {
			continue
		}
		blocks = append(blocks, b)
		ps.Ranges = append(ps.Ranges, l.ranges...)
		ps.Origins = append(ps.Origins, c.origins(l)...)
	}
	st, err := f.Group(scope, blocks)
	if err != nil {
		at := hcl.Range{}
		if len(mine) > 0 {
			at = mine[0].ranges[0]
		}
		c.fail("Invalid "+f.Name, block.Sentence(err.Error()), at)
		return nil
	}
	ps.Stage = st
	return []*PlannedStage{ps}
}

// decode reads one block into the struct of its feature.
func (c *compiler) decode(f *Feature, l *laid) (Block, bool) {
	b := f.New()
	if n, ok := b.(interface{ SetLabel(string) }); ok {
		n.SetLabel(l.label)
	}
	if n, ok := b.(interface{ SetHosts([]Host) }); ok {
		n.SetHosts(c.hosts)
	}
	if n, ok := b.(interface{ SetUpstream(*url.URL) }); ok {
		n.SetUpstream(c.upstream)
	}
	diags := block.Decode(l.body, c.ctx, b)
	for _, d := range diags {
		if d.Summary == "Invalid block" && len(l.ranges) > 0 { // about all of it: show its head
			d.Subject = &l.ranges[len(l.ranges)-1]
		}
	}
	c.diags = append(c.diags, diags...)
	return b, !diags.HasErrors()
}

// stage compiles one block.
func (c *compiler) stage(scope Scope, l *laid) *PlannedStage {
	f := c.lookup(l)
	if f == nil {
		return nil
	}
	b, ok := c.decode(f, l)
	if !ok {
		return nil
	}
	scope.Label = l.label
	st, err := b.Stage(scope)
	if err != nil {
		whole := hcl.Range{}
		if len(l.ranges) > 0 {
			whole = l.ranges[len(l.ranges)-1]
		}
		c.fieldError(err, l.body, whole)
		return nil
	}
	for _, w := range st.Warnings {
		c.diags = append(c.diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: w.Summary, Detail: w.Detail, Subject: &w.At})
	}
	name := l.name
	if l.label != "" {
		name += fmt.Sprintf(" %q", l.label)
	}
	return &PlannedStage{Stage: st, Name: name, Ranges: l.ranges, Origins: c.origins(l)}
}

func (c *compiler) origins(l *laid) (out []Origin) {
	for _, a := range block.Attributes(l.body) {
		out = append(out, Origin{a.Name, c.ctx.Text(a.Expr.Range()), a.Range})
	}
	return out
}

// plan wraps the base in the stages, innermost first.
func (c *compiler) plan(p *Provider, route string, at hcl.Range, stages []*PlannedStage) *Plan {
	plan := &Plan{Provider: p.Name, Route: route, Range: at, Upstream: p.Upstream, next: c.base}
	for _, st := range slices.Backward(stages) {
		if st.Wrap != nil {
			plan.next = st.Wrap(plan.next)
		}
	}
	for _, st := range stages {
		plan.Stages = append(plan.Stages, *st)
		plan.ReadsAnswer = plan.ReadsAnswer || st.ReadsAnswer
		plan.Buffer = max(plan.Buffer, st.Buffer)
		plan.Places = plan.Places || st.Places
		if st.Answer != nil {
			plan.answers = append(plan.answers, st.Answer)
		}
		for _, slot := range st.Slots {
			if slices.Contains(plan.Slots, slot) && len(st.Ranges) > 0 {
				c.fail("Duplicate credential", "Another credential goes into the same place, and only one can.", st.Ranges[len(st.Ranges)-1])
			}
			if slot.In == InTLS && p.Upstream != nil && p.Upstream.Scheme == "http" && len(st.Ranges) > 0 {
				c.fail("Clear text", fmt.Sprintf("A client certificate is shown when TLS is made, and the upstream of provider %q is plain http.", p.Name), st.Ranges[len(st.Ranges)-1])
			}
			plan.Slots = append(plan.Slots, slot)
		}
	}
	return plan
}

// route is a route as written in all layers.
type route struct {
	pattern Pattern
	at      hcl.Range
	layers  []hclsyntax.Blocks
}

// routes collects the routes of a provider by their pattern.
func (c *compiler) routes(layers []hclsyntax.Blocks) (out []*route) {
	for _, blocks := range layers {
		fresh := map[*route]bool{}
		for _, b := range blocks {
			if b.Type != "route" {
				continue
			}
			var pattern Pattern
			if err := pattern.UnmarshalText([]byte(b.Labels[0])); err != nil {
				c.fail("Invalid route", block.Sentence(err.Error()), b.LabelRanges[0])
				continue
			}
			at := slices.IndexFunc(out, func(r *route) bool { return r.pattern.Equal(&pattern) })
			if at < 0 {
				out = append(out, &route{pattern: pattern})
				at = len(out) - 1
			} else if fresh[out[at]] {
				c.fail("Duplicate route", fmt.Sprintf("It matches the same requests as the one at %s.", out[at].at), b.DefRange())
				continue
			}
			r := out[at]
			fresh[r] = true
			r.at = b.DefRange()
			r.layers = append(r.layers, c.blocks(b.Body, false))
		}
	}
	return out
}
