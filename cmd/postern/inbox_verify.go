package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/inbound"
)

// saved is a request that was kept: its head and its body.
type saved struct {
	method, uri string
	header      http.Header
	body        []byte
	notes       []string // about how it was saved
}

// verifyFlags say which request is meant.
type verifyFlags struct {
	webhook, event, at, data string
	headers                  []string
	explain                  bool
}

func inboxVerify(o *options, output *string) *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use: "verify [FILE]", Short: "Verify a saved request by the policy, offline; exit with 3 if it is refused",
		Long: `Verify a saved request by the policy, offline; exit with 3 if it is refused.

FILE holds the raw HTTP request: its first line, its headers, an empty line, and the very bytes of its body; - is stdin. Without FILE the
headers are given by --header, and the body by --data, or by --event, which takes it from the inbox of a running Postern (the signature
is not kept there). Nothing is stored, and no secret and no signature is shown.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(cmd, o, args)
			if err != nil {
				return err
			}
			at := time.Now()
			if f.at != "" {
				if at, err = moment(f.at); err != nil {
					return &exitError{exitUsage, fmt.Errorf("--at: %w", err)}
				}
			}
			e, err := f.verify(cmd, o, req, at)
			if err != nil {
				return err
			}
			if err := printExplanation(cmd.OutOrStdout(), *output, f.explain, req.notes, e); err != nil {
				return &exitError{exitFailure, err}
			}
			if e.Verdict.Result != inbound.Accepted {
				return &exitError{exitFound, nil}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&f.webhook, "webhook", "", "name of the webhook; without it, the one that has the path")
	cmd.Flags().StringVar(&f.event, "event", "", "id of a stored event, whose body is meant")
	cmd.Flags().StringVar(&f.data, "data", "", "file with the body; - is stdin")
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "header of the request, as 'Name: value'; may be repeated, and adds to those of FILE")
	cmd.Flags().StringVar(&f.at, "at", "", "judge as of this time (RFC 3339), or as of this long ago (2h, 3d)")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "say every step, and what is probably wrong")
	return cmd
}

// verify reads the policy with its secrets and has it judge.
func (f *verifyFlags) verify(cmd *cobra.Command, o *options, req *saved, at time.Time) (*inbound.Explanation, error) {
	l, err := checked(o.config, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	defer l.Context.Secrets.Close()
	_ = l.Context.Resolve(cmd.Context()) // what is missing is a step of the explanation
	ctx, cancel := context.WithTimeout(cmd.Context(), 15*time.Second)
	defer cancel()
	e, err := l.inbound.Explain(ctx, &inbound.Request{Method: req.method, Header: req.header, Body: req.body, Received: at}, req.uri, f.webhook)
	if errors.Is(err, inbound.ErrNoWebhook) {
		var names []string
		for _, w := range l.hooks {
			names = append(names, w.Name+" at "+w.Path)
		}
		err = &exitError{exitUsage, fmt.Errorf("%w by --webhook: there are %s", err, strings.Join(names, ", "))}
	}
	return e, err
}

// request puts together which request is meant.
func (f *verifyFlags) request(cmd *cobra.Command, o *options, args []string) (*saved, error) {
	usage := func(format string, a ...any) error { return &exitError{exitUsage, fmt.Errorf(format, a...)} }
	req := &saved{method: http.MethodPost, header: http.Header{}}
	switch given := len(args) + min(len(f.event), 1) + min(len(f.data), 1); {
	case given == 0:
		return nil, usage("name a file with the request, or say the body by --data or --event")
	case given > 1:
		return nil, usage("a file with the request, --data and --event exclude each other")
	}
	switch {
	case len(args) == 1:
		text, err := readAll(cmd, args[0])
		if err == nil {
			err = req.parse(text)
		}
		if err != nil {
			return nil, usage("%s: %w", args[0], err)
		}
	case f.data != "":
		text, err := readAll(cmd, f.data)
		if err != nil {
			return nil, usage("--data: %w", err)
		}
		req.body = text
	default:
		if err := f.stored(cmd, o, req); err != nil {
			return nil, err
		}
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usage("--header: %q is not written as 'Name: value'", h)
		}
		req.header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return req, nil
}

// stored takes the body of an event from a running Postern.
func (f *verifyFlags) stored(cmd *cobra.Command, o *options, req *saved) error {
	return asking(o, func(cmd *cobra.Command, c *admin.Client, _ []string) error {
		e, err := c.Show(cmd.Context(), f.event)
		if err != nil {
			return &exitError{exitFailure, err}
		}
		var body bytes.Buffer
		if err := c.Raw(cmd.Context(), f.event, &body); err != nil {
			return &exitError{exitFailure, err}
		}
		req.body = body.Bytes()
		for name, v := range e.Header {
			req.header[textproto.CanonicalMIMEHeaderKey(name)] = v
		}
		if f.webhook == "" {
			f.webhook = e.Webhook
		}
		req.notes = append(req.notes, fmt.Sprintf("event %s was received %s, verified: %s; the headers that carry a signature are not kept", e.ID, e.Received.UTC().Format(time.RFC3339), proved(&e)))
		return nil
	})(cmd, nil)
}

func readAll(cmd *cobra.Command, name string) ([]byte, error) {
	const most = 64 << 20
	from := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && len(text) > most {
		err = errors.New("it is larger than 64 MiB")
	}
	return text, err
}

// parse reads a raw HTTP request. The body is everything behind the empty line, or
// as much of it as Content-Length says.
func (r *saved) parse(text []byte) error {
	head, body, ok := bytes.Cut(text, []byte("\r\n\r\n"))
	if short, rest, lf := bytes.Cut(text, []byte("\n\n")); lf && (!ok || len(short) < len(head)) {
		head, body, ok = short, rest, true
	}
	if !ok {
		head, body = text, nil
	}
	lines := strings.Split(strings.ReplaceAll(string(head), "\r\n", "\n"), "\n")
	first := strings.Fields(lines[0])
	if len(first) < 2 || !strings.HasPrefix(first[1], "/") && !strings.Contains(first[1], "://") {
		return errors.New("it does not begin with a line such as POST /stripe HTTP/1.1")
	}
	r.method, r.uri = first[0], first[1]
	if _, rest, absolute := strings.Cut(r.uri, "://"); absolute {
		_, path, _ := strings.Cut(rest, "/")
		r.uri = "/" + path
	}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !ok {
			return fmt.Errorf("the line %.40q is no header", line)
		}
		r.header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return r.cut(body)
}

// cut takes the body out of what was saved.
func (r *saved) cut(body []byte) error {
	if strings.EqualFold(r.header.Get("Transfer-Encoding"), "chunked") {
		whole, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body)))
		if err != nil {
			r.notes = append(r.notes, "the body is said to be chunked, and was saved without its chunks")
			whole = body
		}
		r.body = whole
		return nil
	}
	r.body = body
	n, err := strconv.Atoi(r.header.Get("Content-Length"))
	switch {
	case err != nil:
	case n < len(body):
		r.notes = append(r.notes, fmt.Sprintf("%s behind the body are left out: Content-Length is %d", count(len(body)-n, "byte"), n))
		r.body = body[:n]
	case n > len(body):
		r.notes = append(r.notes, fmt.Sprintf("%s of the body are missing: Content-Length is %d, and the file has %d", count(n-len(body), "byte"), n, len(body)))
	}
	return nil
}

func printExplanation(w io.Writer, output string, explain bool, notes []string, e *inbound.Explanation) error {
	if output != "table" {
		return printValue(w, output, map[string]any{
			"webhook": e.Webhook, "result": e.Verdict.Result.String(), "why": e.Verdict.Why, "proof": e.Verdict.Proof, "steps": e.Steps, "hints": e.Hints, "notes": notes,
		})
	}
	if !explain {
		text := e.Verdict.Result.String()
		if e.Verdict.Why != "" {
			text += ": " + e.Verdict.Why
		}
		_, err := fmt.Fprintln(w, onLine(text))
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, n := range notes {
		fmt.Fprintf(tw, "note\t%s\n", onLine(n))
	}
	for _, s := range e.Steps {
		fmt.Fprintf(tw, "%s\t%s\n", s.Name, onLine(s.Text))
	}
	for _, h := range e.Hints {
		fmt.Fprintf(tw, "hint\t%s\n", onLine(h))
	}
	return tw.Flush()
}
