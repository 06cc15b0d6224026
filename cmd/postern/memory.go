package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"
)

// pipes is a listener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	a, b := net.Pipe()
	client, server := newEager(a), newEager(b)
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// eager is an end of a pipe whose writes do not wait for a reader, as those of
// a socket do not: two ends that both write first would wait for each other.
type eager struct {
	net.Conn
	mu     sync.Mutex
	queue  [][]byte
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newEager(c net.Conn) *eager {
	e := &eager{Conn: c, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	go e.pump()
	return e
}

// Write queues a copy of p.
func (e *eager) Write(p []byte) (int, error) {
	select {
	case <-e.closed:
		return 0, net.ErrClosed
	default:
	}
	e.mu.Lock()
	e.queue = append(e.queue, append([]byte(nil), p...))
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

// pump writes what is queued, and after Close what is left, for a moment.
func (e *eager) pump() {
	defer e.Conn.Close()
	for last := false; !last; {
		select {
		case <-e.wake:
		case <-e.closed:
			last = true
			_ = e.Conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
		}
		e.mu.Lock()
		queue := e.queue
		e.queue = nil
		e.mu.Unlock()
		for _, p := range queue {
			if _, err := e.Conn.Write(p); err != nil {
				return
			}
		}
	}
}

// Close lets what is queued out, and reads no more.
func (e *eager) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// either serves TLS or plain HTTP, by the first byte that arrives.
type either struct {
	net.Listener
	config *tls.Config
}

// Accept implements [net.Listener].
func (e either) Accept() (net.Conn, error) {
	c, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &peeked{Conn: c, config: e.config}, nil
}

// peeked decides at the first read.
type peeked struct {
	net.Conn
	config *tls.Config
	once   sync.Once
	real   net.Conn
}

func (p *peeked) conn() net.Conn {
	p.once.Do(func() {
		var first [1]byte
		if _, err := io.ReadFull(p.Conn, first[:]); err != nil {
			p.real = p.Conn
			return
		}
		again := &unread{p.Conn, first[:]}
		p.real = again
		if first[0] == 0x16 { // a TLS handshake record (RFC 8446 §5.1)
			p.real = tls.Server(again, p.config)
		}
	})
	return p.real
}

func (p *peeked) Read(b []byte) (int, error)  { return p.conn().Read(b) }
func (p *peeked) Write(b []byte) (int, error) { return p.conn().Write(b) }

// client is the name in the certificate that the client has shown, "" if it has
// shown none.
func (p *peeked) client() string {
	c, ok := p.conn().(*tls.Conn)
	if !ok || len(c.ConnectionState().PeerCertificates) == 0 {
		return ""
	}
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// connKey is under what a request's context has its connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

type unread struct {
	net.Conn
	head []byte
}

func (u *unread) Read(b []byte) (int, error) {
	if len(u.head) > 0 {
		n := copy(b, u.head)
		u.head = u.head[n:]
		return n, nil
	}
	return u.Conn.Read(b)
}

// standInCertificate makes a certificate for whatever host is asked for, and
// the roots that believe it. Both live as long as the test.
func standInCertificate() (func(*tls.ClientHelloInfo) (*tls.Certificate, error), *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make the test's key: %w", err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make the test's authority: %w", err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read the test's authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter, DNSNames: []string{hello.ServerName}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, parsed, &key.PublicKey, key)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}, roots, nil
}
