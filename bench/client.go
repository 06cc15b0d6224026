package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// door is how a client reaches the upstream: straight to a TLS address, or through a proxy by CONNECT.
type door struct {
	addr    string
	connect bool
	tls     *tls.Config
}

// open dials, asks for the tunnel where there is a proxy, and shakes hands; until bounds everything on the connection.
func (d door) open(until time.Time) (*tls.Conn, error) {
	raw, err := net.DialTimeout("tcp", d.addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if err := d.enter(raw, until); err != nil {
		raw.Close()
		return nil, err
	}
	conn := tls.Client(raw, d.tls)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return conn, nil
}

func (d door) enter(raw net.Conn, until time.Time) error {
	if err := raw.SetDeadline(until); err != nil {
		return err
	}
	if !d.connect {
		return nil
	}
	const ask = "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n"
	if _, err := io.WriteString(raw, ask); err != nil {
		return fmt.Errorf("CONNECT: %w", err)
	}
	// Nothing follows the answer before our ClientHello, so the reader cannot swallow bytes of the tunnel.
	answer, err := http.ReadResponse(bufio.NewReaderSize(raw, 1024), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("CONNECT: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("CONNECT: %s", answer.Status)
	}
	return nil
}

// with is the same door for one protocol, with or without session resumption.
func (d door) with(protocol string, resume bool) door {
	config := d.tls.Clone()
	config.NextProtos = []string{protocol}
	if resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	}
	d.tls = config
	return d
}

// h1 is one kept HTTP/1.1 connection and the request it repeats.
type h1 struct {
	conn    io.ReadWriteCloser
	reader  *bufio.Reader
	request []byte
	at      int // where the call's number stands in request
	method  *http.Request
	want    []byte
	got     []byte
}

// newH1 prepares a client for a GET of /v1/items/N, or a POST of document N, labelled with the peer's name.
func newH1(conn io.ReadWriteCloser, method, peer string) *h1 {
	const digits = "0000000000000000"
	c := &h1{
		conn: conn, reader: bufio.NewReaderSize(conn, 8<<10), method: &http.Request{Method: method},
		want: document(small), got: make([]byte, small+1),
	}
	path, body := "/v1/items/"+digits, []byte(nil)
	if method == http.MethodPost {
		path, body = "/v1/items", document(small)
	}
	c.request = append(head(method, path, peer, len(body)), body...)
	if method == http.MethodPost {
		c.at = len(c.request) - len(body) + numberAt
	} else {
		c.at = bytes.Index(c.request, []byte(digits))
	}
	return c
}

// head is a request head such as an SDK sends; it carries no credential.
func head(method, path, peer string, length int) []byte {
	text := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n" +
		"Accept-Encoding: identity\r\n" + peerHeader + ": " + peer + "\r\n"
	if method == http.MethodPost {
		text += "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(length) + "\r\n"
	}
	return []byte(text + "\r\n")
}

// call sends call n and checks its answer: status, number and every byte.
func (c *h1) call(n uint64) error {
	number(c.request[c.at:c.at+numberLen], n)
	if _, err := c.conn.Write(c.request); err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	answer, err := http.ReadResponse(c.reader, c.method)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return checkDocument(answer, c.got, c.want, n)
}

// checkDocument reads an answer's body into got, one byte longer than want, and checks it.
func checkDocument(answer *http.Response, got, want []byte, n uint64) error {
	defer answer.Body.Close()
	length, err := io.ReadFull(answer.Body, got)
	if !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
		return fmt.Errorf("reading the body: %v after %d bytes", err, length)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s: %.200s", answer.Status, got[:length])
	}
	return sameDocument(got[:length], want, n)
}

// h2 is one HTTP/2 connection; its calls may run together.
type h2 struct {
	conn   *http.ClientConn
	header http.Header
	want   []byte
}

func newH2(ctx context.Context, d door, until time.Time, peer string) (*h2, error) {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Protocols:          &protocols,
		DisableCompression: true,
		DialTLSContext:     func(context.Context, string, string) (net.Conn, error) { return d.open(until) },
	}
	conn, err := transport.NewClientConn(ctx, "https", host+":443")
	if err != nil {
		return nil, err
	}
	header := http.Header{"User-Agent": {"bench/1"}, "Accept": {"application/json"}, peerHeader: {peer}}
	return &h2{conn: conn, header: header, want: document(small)}, nil
}

// call gets item n over a stream of its own; got is the caller's room of small+1 bytes.
func (c *h2) call(ctx context.Context, n uint64, got []byte) error {
	var digits [numberLen]byte
	number(digits[:], n)
	request := (&http.Request{
		Method: http.MethodGet, Host: host, Header: c.header,
		URL: &url.URL{Scheme: "https", Host: host, Path: "/v1/items/" + string(digits[:])},
	}).WithContext(ctx)
	answer, err := c.conn.RoundTrip(request)
	if err != nil {
		return err
	}
	if answer.ProtoMajor != 2 {
		answer.Body.Close()
		return fmt.Errorf("answered by %s, not HTTP/2", answer.Proto)
	}
	return checkDocument(answer, got, c.want, n)
}
