package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/postern-proxy/postern/inbound"
)

// sampled is how many events a dry run shows.
const sampled = 5

// dryRun counts what an action would be done to, shows some of it, and says when
// the operation begins.
func (s *Server) dryRun(ctx context.Context, f inbound.Filter) (any, error) {
	began := time.Now()
	f.Until, f.Cursor, f.Limit, f.Oldest = bounded(f.Until, began), "", sampled, true
	n, err := s.opt.Inbox.Count(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("count the events: %w", err)
	}
	var page inbound.Page
	for {
		if page, err = s.opt.Inbox.List(ctx, f); err != nil {
			return nil, fmt.Errorf("look for the events: %w", err)
		}
		if f.Cursor = page.Next; len(page.Events) > 0 || f.Cursor == "" || n.N == 0 {
			break // else they are further on
		}
	}
	out := Acted{Matched: n.N, More: n.More, Began: began}
	for i := range page.Events {
		out.Sample = append(out.Sample, event(&page.Events[i]))
	}
	return out, nil
}

// bounded is until, but not after the beginning of an operation: what arrives
// while it runs is not meant.
func bounded(until, began time.Time) time.Time {
	if !began.IsZero() && (until.IsZero() || began.Before(until)) {
		return began
	}
	return until
}

// tellBulk logs what was done to one page: who asked for what, and what came of it.
// The pages of one operation have its beginning in common.
func (s *Server) tellBulk(ctx context.Context, action string, ask *Act, did Acted, by string) {
	s.opt.Log.LogAttrs(ctx, slog.LevelInfo, "bulk", slog.String("log", "transition"), slog.String("action", action), slog.Any("filter", ask.Filter),
		slog.Time("began", ask.Began), slog.Int("moved", did.Moved), slog.Int("skipped", did.Skipped), slog.Bool("ended", did.Next == ""), slog.String("by", by), slog.Int("emptied", did.Emptied),
		slog.Bool("force", ask.Force), slog.Int("misfits", did.Misfits))
}

// maxWait is how long a request that follows what happens may last.
const maxWait = 30 * time.Second

var followParams = []param{
	{"webhook", "Name of a webhook; may be given several times."},
	{"provider", "All webhooks of this provider."},
	{"account", "Account of the event."},
	{"type", "Type of the event; one that ends in * is the beginning of types."},
	{"event_id", "The provider's id of the event."},
	{"status", "State in which a delivery begins, or to which it moves."},
	{"error", "Part of the reason of the move."},
	{"misfit", "Fingerprint of how events do not fit their schema."},
	{"cursor", "The next of the page before; not given, it is that of now."},
	{"wait", "How many seconds to wait for something to happen, 0 to 30; 30 if not given."},
}

// follow answers what happened after a cursor, as soon as something did.
func (s *Server) follow(r *http.Request) (any, error) {
	q := r.URL.Query()
	wait := maxWait
	if text := q.Get("wait"); text != "" {
		n, err := strconv.Atoi(text)
		if wait = time.Duration(n) * time.Second; err != nil || wait < 0 || wait > maxWait {
			return nil, refuse(http.StatusBadRequest, "", "wait is not a number from 0 to %d", int(maxWait.Seconds()))
		}
	}
	f, err := s.queryFilter(q, followParams)
	if err != nil {
		return nil, err
	}
	filter, err := s.filter(f, 0, "")
	if err != nil {
		return nil, err
	}
	page, err := s.opt.Inbox.Follow(r.Context(), filter, q.Get("cursor"), wait)
	if err != nil {
		return nil, badCursor("follow", err)
	}
	out := Notices{Notices: []Notice{}, Next: page.Next}
	for i := range page.All {
		out.Notices = append(out.Notices, notice(&page.All[i]))
	}
	return out, nil
}

func notice(n *inbound.Notice) Notice {
	out := Notice{At: n.At(), Event: event(&n.Record)}
	if n.Move == nil {
		return out
	}
	out.Event.Status = string(n.Move.To)
	m := move(n.Move)
	out.Move = &m
	return out
}

// exportBytes is how many bytes of bodies a page of an export has, about.
const exportBytes = 8 << 20

// export answers one page of events with all that is known of them.
func (s *Server) export(r *http.Request) (any, error) {
	f, err := s.listFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	out := ExportedEvents{Events: []ExportedEvent{}}
	left, size := f.PageSize(), 0
	for left > 0 && size < exportBytes {
		f.Limit = min(left, 10)
		page, err := s.opt.Inbox.List(r.Context(), f)
		if err != nil {
			return nil, badCursor("export", err)
		}
		for i := range page.Events {
			e, err := s.exportedEvent(r.Context(), page.Events[i].ID)
			if errors.Is(err, inbound.ErrNotFound) {
				continue // it was old, and has been deleted meanwhile
			} else if err != nil {
				return nil, fmt.Errorf("read the event: %w", err)
			}
			out.Events, size = append(out.Events, e), size+e.Size
		}
		left -= len(page.Events)
		if f.Cursor, out.Next = page.Next, page.Next; page.Next == "" {
			break
		}
	}
	return out, nil
}

func (s *Server) exportedEvent(ctx context.Context, id string) (out ExportedEvent, err error) {
	e, err := s.opt.Inbox.Body(ctx, id)
	emptied := errors.Is(err, inbound.ErrEmptied)
	if err != nil && !emptied {
		return out, err
	}
	rec, err := s.opt.Inbox.Show(ctx, id)
	if err != nil {
		return out, err
	}
	if out.Event = event(rec); emptied {
		return out, nil
	}
	if utf8.Valid(e.Body) {
		out.Body = string(e.Body)
		return out, nil
	}
	out.Body, out.Encoding = base64.StdEncoding.EncodeToString(e.Body), "base64"
	return out, nil
}

// queryFilter reads the parameters that select events.
func (s *Server) queryFilter(q url.Values, known []param) (*Filter, error) {
	if err := onlyKnown(q, known); err != nil {
		return nil, err
	}
	f := &Filter{
		Webhooks: q["webhook"], Provider: q.Get("provider"), Account: q.Get("account"), Type: q.Get("type"), EventID: q.Get("event_id"),
		Misfit: q.Get("misfit"), Status: q.Get("status"), Error: q.Get("error"),
	}
	for name, into := range map[string]*time.Time{"since": &f.Since, "until": &f.Until} {
		if err := timeParam(q, name, into); err != nil {
			return nil, err
		}
	}
	return f, nil
}
