package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// serveH1 reads requests from c one after another until a step or the peer ends it.
func (s *Server) serveH1(c *conn) {
	br := bufio.NewReader(c)
	for {
		s.setIdle(c, true)
		if _, err := br.Peek(1); err != nil {
			return
		}
		s.setIdle(c, false)
		rec, step := s.arrive(c)
		if step.unread() {
			s.breakH1(c, step)
			return
		}
		req, err := readH1(br, c)
		if err != nil {
			return
		}
		s.note(rec, func(r *Request) {
			r.Method, r.Host, r.Target, r.Header = req.Method, req.Host, req.RequestURI, req.Header
		})
		if step.kind == resetPart && req.ContentLength != 0 {
			some := make([]byte, 16)
			n, _ := io.ReadFull(req.Body, some)
			s.act(step, req, some[:n])
			c.reset()
			return
		}
		body, err := io.ReadAll(req.Body)
		s.note(rec, func(r *Request) { r.Body, r.Read = body, err == nil })
		if err != nil || !s.pause(step) {
			return
		}
		if !s.respondH1(c, br, req, body, rec, step) {
			return
		}
	}
}

// readH1 reads a request head and grants an expected 100-continue.
func readH1(br *bufio.Reader, w io.Writer) (*http.Request, error) {
	req, err := http.ReadRequest(br)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		_, err = io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	return req, err
}

// respondH1 does what step says and reports whether the connection goes on.
func (s *Server) respondH1(c *conn, br *bufio.Reader, req *http.Request, body []byte, rec *Request, step Step) bool {
	s.act(step, req, body)
	switch step.kind {
	case resetRead, closeRead, resetPart, resetStream, goAwayAfter:
		s.breakH1(c, step)
		return false
	case garbage:
		io.WriteString(c, "220 mail.example.com ESMTP\r\n")
		c.tcp.CloseWrite()
		io.Copy(io.Discard, c.tcp)
		return false
	case hang:
		br.Peek(1) // returns when the peer closes or Close resets
		return false
	}
	ans := s.answerFor(step, req, body)
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", ans.status, http.StatusText(ans.status))
	if bodyAllowed(ans.status) {
		ans.header.Set("Content-Length", fmt.Sprint(len(ans.body)))
	}
	if req.Close {
		ans.header.Set("Connection", "close")
	}
	ans.header.Write(&b)
	b.WriteString("\r\n")
	s.note(rec, func(r *Request) { r.Status = ans.status })
	switch step.kind {
	case resetHead:
		c.Write(b.Bytes()[:b.Len()/2])
		c.reset()
		return false
	case resetHalf, closeHalf:
		b.Write(ans.body[:len(ans.body)/2])
		c.Write(b.Bytes())
		if step.kind == resetHalf {
			c.reset()
		} else {
			s.breakH1(c, step)
		}
		return false
	}
	if req.Method != http.MethodHead && bodyAllowed(ans.status) {
		b.Write(ans.body)
	}
	_, err := c.Write(b.Bytes())
	return err == nil && !req.Close
}

func (s *Server) breakH1(c *conn, step Step) {
	switch step.kind {
	case resetUnread, resetRead, resetPart, resetStream:
		c.reset()
	default:
		c.tcp.CloseWrite() // a FIN even while unread bytes wait, which close would turn into a reset
		io.Copy(io.Discard, c.tcp)
	}
}

func (s *Server) setIdle(c *conn, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.idle = idle
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
