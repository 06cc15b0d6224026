package main

import (
	"context"
	"fmt"
)

// check compares what a peer was given with what arrived.
type check struct {
	Peer   string `json:"peer"`
	Side   string `json:"side"`
	Calls  int    `json:"calls"`
	Saw    *tally `json:"upstream_saw,omitempty"`
	Stored int    `json:"stored,omitempty"` // events on disk; -1 where the peer does not say
	Wrong  string `json:"wrong,omitempty"`
}

// checks asks the upstream and the inboxes, once the rounds are over.
func (f *field) checks(ctx context.Context) ([]check, error) {
	var saw seen
	if err := fetchJSON(ctx, "http://"+f.control+"/seen", &saw); err != nil {
		return nil, fmt.Errorf("asking the upstream what it saw: %w", err)
	}
	var out []check
	for _, p := range f.peers {
		if p.calls == 0 {
			continue
		}
		c := check{Peer: p.name, Side: p.side, Calls: p.calls}
		if p.side == "outbound" || p.side == "credential" || p.side == "keyed" {
			t := saw.Peers[p.name]
			c.Saw, c.Wrong = &t, p.judge(t)
		} else {
			c.Stored, c.Wrong = p.judgeStored(ctx)
		}
		out = append(out, c)
	}
	return out, nil
}

// judge says what is wrong with what the upstream saw; after a failure only the policy is judged, not the counts.
func (p *peer) judge(t tally) string {
	switch {
	case t.Damaged > 0:
		return fmt.Sprintf("%d requests arrived damaged", t.Damaged)
	case t.Wrong > 0:
		return fmt.Sprintf("%d requests carried another credential", t.Wrong)
	case p.policed && t.Authorize != t.Requests:
		return fmt.Sprintf("%d of %d requests carried no credential", t.Requests-t.Authorize, t.Requests)
	case int(t.Tokens) != p.tokens:
		return fmt.Sprintf("tokens were asked for %d times, not %d", t.Tokens, p.tokens)
	case p.policed && t.Version != t.Requests:
		return fmt.Sprintf("%d of %d requests carried no version", t.Requests-t.Version, t.Requests)
	case p.policed && t.Key != t.Posts:
		return fmt.Sprintf("%d of %d POSTs carried no idempotency key", t.Posts-t.Key, t.Posts)
	case !p.spoiled && int(t.Requests) != p.calls:
		return fmt.Sprintf("%d calls were made, the upstream saw %d", p.calls, t.Requests)
	}
	return ""
}

func (p *peer) judgeStored(ctx context.Context) (int, string) {
	if p.stored == nil {
		return -1, ""
	}
	n, err := p.stored(ctx)
	switch {
	case err != nil:
		return -1, ""
	case !p.spoiled && n != p.calls:
		return n, fmt.Sprintf("%d events were acknowledged, %d are stored", p.calls, n)
	}
	return n, ""
}
