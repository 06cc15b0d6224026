package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/postern-proxy/postern/drain"
	"github.com/postern-proxy/postern/policy"
)

// switchProtocols tunnels after a 101 that was asked for. Any other is a
// failure: nothing would look at what follows it (C10).
func (c *call) switchProtocols(resp *http.Response) error {
	upstream, ok := resp.Body.(io.ReadWriteCloser)
	if asked := c.head.upgrade; !ok || asked == "" || !strings.EqualFold(asked, resp.Header.Get("Upgrade")) {
		return &policy.Denial{Code: policy.CodeUnreachable, Stage: stage, Detail: "the provider switched to a protocol that was not asked for", Executed: policy.Yes}
	}
	c.settle()
	res := &c.result
	res.Status, res.Source, res.Outcome = resp.StatusCode, policy.FromProvider, outcomeOf(&c.x, resp)
	protocol := resp.Header["Upgrade"]
	dropHop(resp.Header)
	resp.Header["Connection"], resp.Header["Upgrade"] = []string{"Upgrade"}, protocol
	if c.x.Plan != nil {
		mark(resp.Header, &c.x, &c.result)
	}
	near, rw, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return err
	}
	near = drain.Release(near)
	release, ok := c.entry.track(near, upstream)
	defer release()
	if !ok {
		res.Err = errShuttingDown
		return nil
	}
	if err := writeSwitch(rw.Writer, resp.Header); err != nil {
		res.Err, res.Outcome = &clientGone{err}, policy.Cancelled
		return nil
	}
	var in, out atomic.Int64
	c.join(near, rw.Reader, upstream, &in, &out)
	res.Out = out.Load()
	c.body.read.Store(in.Load())
	return nil
}

var errShuttingDown = errors.New("the proxy is shutting down")

func writeSwitch(w *bufio.Writer, h http.Header) error {
	w.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	h.Write(w)
	w.WriteString("\r\n")
	return w.Flush()
}

// join copies both ways until the provider has ended. What the application sent
// before the switch is in early.
func (c *call) join(near net.Conn, early *bufio.Reader, upstream io.ReadWriteCloser, in, out *atomic.Int64) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var from io.Reader = near
		if n := early.Buffered(); n > 0 {
			head, _ := early.Peek(n)
			from = io.MultiReader(strings.NewReader(string(head)), near)
		}
		n, err := c.copyRaw(upstream, from)
		in.Add(n)
		if half, ok := upstream.(interface{ CloseWrite() error }); ok && err == nil {
			half.CloseWrite()
			return
		}
		upstream.Close()
	}()
	n, _ := c.copyRaw(near, upstream)
	out.Add(n)
	upstream.Close()
	near.Close()
	<-done
}

// copyRaw is io.Copy with a pooled buffer.
func (c *call) copyRaw(to io.Writer, from io.Reader) (int64, error) {
	buf := c.h.copies.Get().(*[copySize]byte)
	defer c.h.copies.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, buf[:])
}
