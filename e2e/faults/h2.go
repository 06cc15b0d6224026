package faults

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn is the server's end of one HTTP/2 connection. One goroutine reads frames; answers are written by one
// goroutine a stream. mu guards everything below it, frame writes included.
type h2conn struct {
	s  *Server
	c  *conn
	fr *http2.Framer

	mu      sync.Mutex
	changed *sync.Cond // a window grew, or a stream or the connection ended
	enc     *hpack.Encoder
	block   bytes.Buffer
	window  int // what may be sent on the connection
	initial int // what may be sent on a new stream
	streams map[uint32]*h2stream
	over    bool
}

type h2stream struct {
	id     uint32
	rec    *Request
	step   Step
	req    *http.Request
	body   []byte
	window int
	gone   chan struct{} // closed when the peer cancels or the connection ends
}

const h2Receive = 1 << 20 // bytes a stream may send before a window update

func (s *Server) serveH2(c *conn) {
	br := bufio.NewReader(c)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(br, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	h := &h2conn{s: s, c: c, fr: http2.NewFramer(c, br), window: 65535, initial: 65535, streams: map[uint32]*h2stream{}}
	h.changed = sync.NewCond(&h.mu)
	h.enc = hpack.NewEncoder(&h.block)
	h.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.mu.Lock()
	s.setIdle(c, true)
	h.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 250},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2Receive})
	h.fr.WriteWindowUpdate(0, 1<<30)
	h.mu.Unlock()
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			break
		}
		if !h.frame(f) {
			break
		}
	}
	h.mu.Lock()
	h.over = true
	for id := range h.streams {
		h.end(id)
	}
	h.mu.Unlock()
}

// frame handles one frame and reports whether the connection goes on.
func (h *h2conn) frame(f http2.Frame) bool {
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return h.headers(f)
	case *http2.DataFrame:
		h.data(f)
	case *http2.RSTStreamFrame:
		h.mu.Lock()
		h.end(f.StreamID)
		h.mu.Unlock()
	case *http2.SettingsFrame:
		h.settings(f)
	case *http2.PingFrame:
		h.mu.Lock()
		if !f.IsAck() {
			h.fr.WritePing(true, f.Data)
		}
		h.mu.Unlock()
	case *http2.WindowUpdateFrame:
		h.mu.Lock()
		if st := h.streams[f.StreamID]; st != nil {
			st.window += int(f.Increment)
		} else if f.StreamID == 0 {
			h.window += int(f.Increment)
		}
		h.changed.Broadcast()
		h.mu.Unlock()
	}
	return true
}

func (h *h2conn) settings(f *http2.SettingsFrame) {
	if f.IsAck() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		for _, st := range h.streams {
			st.window += int(v) - h.initial
		}
		h.initial = int(v)
	}
	if v, ok := f.Value(http2.SettingHeaderTableSize); ok {
		h.enc.SetMaxDynamicTableSizeLimit(v)
	}
	h.fr.WriteSettingsAck()
	h.changed.Broadcast()
}

// headers opens a stream, or ends one with trailers, and reports whether the connection goes on.
func (h *h2conn) headers(f *http2.MetaHeadersFrame) bool {
	h.mu.Lock()
	st := h.streams[f.StreamID]
	h.mu.Unlock()
	if st != nil {
		h.ready(st)
		return true
	}
	rec, step := h.s.arrive(h.c)
	req := &http.Request{Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, Method: f.PseudoValue("method"), Host: f.PseudoValue("authority")}
	req.RequestURI = f.PseudoValue("path")
	for _, field := range f.RegularFields() {
		req.Header.Add(field.Name, field.Value)
	}
	if req.Host == "" {
		req.Host = req.Header.Get("Host")
	}
	h.s.note(rec, func(r *Request) {
		r.Method, r.Host, r.Target, r.Header = req.Method, req.Host, req.RequestURI, req.Header
	})
	if step.unread() {
		return h.refuse(f.StreamID, step)
	}
	u, err := url.ParseRequestURI(req.RequestURI)
	if err != nil {
		return false
	}
	req.URL = u
	st = &h2stream{id: f.StreamID, rec: rec, step: step, req: req, gone: make(chan struct{})}
	h.mu.Lock()
	st.window = h.initial
	h.streams[st.id] = st
	h.s.setIdle(h.c, false)
	h.mu.Unlock()
	if f.StreamEnded() {
		h.ready(st)
	} else if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		h.write(st, false, [][2]string{{":status", "100"}})
	}
	return true
}

// refuse ends a request that is not read.
func (h *h2conn) refuse(id uint32, step Step) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch step.kind {
	case refuse:
		h.fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		return true
	case goAway:
		h.fr.WriteGoAway(id-1, http2.ErrCodeNo, nil)
		h.s.breakH1(h.c, step)
	case resetUnread:
		h.c.reset()
	default:
		h.s.breakH1(h.c, step)
	}
	return false
}

func (h *h2conn) data(f *http2.DataFrame) {
	h.mu.Lock()
	if n := len(f.Data()); n > 0 {
		h.fr.WriteWindowUpdate(0, uint32(n))
		if h.streams[f.StreamID] != nil {
			h.fr.WriteWindowUpdate(f.StreamID, uint32(n))
		}
	}
	st := h.streams[f.StreamID]
	h.mu.Unlock()
	if st == nil {
		return
	}
	st.body = append(st.body, f.Data()...)
	if st.step.kind == resetPart {
		h.mu.Lock()
		h.end(st.id) // frames that are read already are of no more use
		h.mu.Unlock()
		h.s.act(st.step, st.req, st.body)
		h.c.reset()
		return
	}
	if f.StreamEnded() {
		h.ready(st)
	}
}

// ready starts the answer to a request that was read to its end.
func (h *h2conn) ready(st *h2stream) {
	h.s.note(st.rec, func(r *Request) { r.Body, r.Read = st.body, true })
	h.s.wg.Go(func() { h.respond(st) })
}

func (h *h2conn) respond(st *h2stream) {
	if !h.s.pause(st.step) {
		return
	}
	h.s.act(st.step, st.req, st.body)
	switch st.step.kind {
	case resetRead, resetPart:
		h.c.reset()
		return
	case closeRead:
		h.s.breakH1(h.c, st.step)
		return
	case garbage:
		h.mu.Lock()
		io.WriteString(h.c, "220 mail.example.com ESMTP, and more than a frame's header\r\n")
		h.mu.Unlock()
		h.s.breakH1(h.c, st.step)
		return
	case resetStream:
		h.mu.Lock()
		h.fr.WriteRSTStream(st.id, http2.ErrCodeInternal)
		h.end(st.id)
		h.mu.Unlock()
		return
	case goAwayAfter:
		h.mu.Lock()
		h.fr.WriteGoAway(st.id, http2.ErrCodeNo, nil)
		h.mu.Unlock()
		h.s.breakH1(h.c, st.step)
		return
	case hang:
		select {
		case <-st.gone:
		case <-h.s.ctx.Done():
		}
		return
	}
	ans := h.s.answerFor(st.step, st.req, st.body)
	body := ans.body
	if st.req.Method == http.MethodHead || !bodyAllowed(ans.status) {
		body = nil
	}
	fields := [][2]string{{":status", strconv.Itoa(ans.status)}}
	if body != nil {
		fields = append(fields, [2]string{"content-length", strconv.Itoa(len(body))})
	}
	for name, values := range ans.header {
		for _, v := range values {
			fields = append(fields, [2]string{strings.ToLower(name), v})
		}
	}
	h.s.note(st.rec, func(r *Request) { r.Status = ans.status })
	switch st.step.kind {
	case resetHead:
		h.mu.Lock()
		h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: st.id, BlockFragment: []byte{0x88}}) // ":status: 200", and more to come
		h.mu.Unlock()
		h.c.reset()
		return
	case resetHalf, closeHalf:
		h.write(st, false, fields)
		h.writeData(st, body[:len(body)/2], false)
		if st.step.kind == resetHalf {
			h.c.reset()
		} else {
			h.s.breakH1(h.c, st.step)
		}
		return
	}
	h.write(st, len(body) == 0, fields)
	if len(body) > 0 {
		h.writeData(st, body, true)
	}
	h.mu.Lock()
	h.end(st.id)
	h.mu.Unlock()
}

// write sends a header block.
func (h *h2conn) write(st *h2stream, last bool, fields [][2]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.block.Reset()
	for _, f := range fields {
		h.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: st.id, BlockFragment: h.block.Bytes(), EndHeaders: true, EndStream: last})
}

// writeData sends a body as the windows allow, in frames of at most the smallest legal maximum.
func (h *h2conn) writeData(st *h2stream, body []byte, last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(body) > 0 {
		n := min(len(body), 16<<10, h.window, st.window)
		if n <= 0 {
			if h.over || h.streams[st.id] == nil {
				return
			}
			h.changed.Wait()
			continue
		}
		if h.fr.WriteData(st.id, last && n == len(body), body[:n]) != nil {
			return
		}
		h.window -= n
		st.window -= n
		body = body[n:]
	}
}

// end forgets a stream. The caller holds mu.
func (h *h2conn) end(id uint32) {
	if st := h.streams[id]; st != nil {
		delete(h.streams, id)
		close(st.gone)
		h.changed.Broadcast()
		h.s.setIdle(h.c, len(h.streams) == 0)
	}
}
