package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"

	"github.com/postern-proxy/postern/policy"
)

// handshake makes TLS of c. If e has a client certificate, then either that was
// shown, now or when the session was made that is resumed, or it fails: a server
// that asks for none is not the one that the policy is about.
func handshake(ctx context.Context, c net.Conn, k key, e *entry) (*tls.Conn, error) {
	if e.cert == nil {
		t := tls.Client(c, e.tls)
		return t, t.HandshakeContext(ctx)
	}
	config, s := e.tls.Clone(), &shown{ClientSessionCache: e.tls.ClientSessionCache}
	config.ClientSessionCache = s
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		s.yes = true
		return e.cert.TLS(), nil
	}
	t := tls.Client(c, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if s.yes = s.yes || t.ConnectionState().DidResume; !s.yes {
		return nil, notAsked(k.addr())
	}
	return t, nil
}

// shown is a session cache that takes sessions only in which the certificate was
// shown.
type shown struct {
	tls.ClientSessionCache
	yes bool
}

// Put is called during the handshake, and when a ticket is read later.
func (s *shown) Put(key string, session *tls.ClientSessionState) {
	if s.yes || session == nil {
		s.ClientSessionCache.Put(key, session)
	}
}

// A failure is a connection that knows why reading it failed, which
// golang.org/x/net/http2 does not tell.
type failure struct {
	*tls.Conn
	cause atomic.Pointer[error]
}

func (f *failure) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if err != nil {
		f.cause.CompareAndSwap(nil, &err)
	}
	return n, err
}

// err is nil until reading failed.
func (f *failure) err() error {
	if f == nil || f.cause.Load() == nil {
		return nil
	}
	return *f.cause.Load()
}

// clearText is a call with a client certificate where there is no TLS.
func clearText(addr string) error {
	return &policy.Denial{
		Code: policy.NotAllowed, Stage: "transport", Detail: "The call needs a client certificate, which is shown over TLS only, and " + addr + " is called in clear text.",
		Hint: "Call https, or name an upstream that begins with https.",
	}
}

// notAsked is a server that would serve the call without the certificate.
func notAsked(addr string) error {
	return &policy.Denial{
		Code: policy.CredentialUnavailable, Stage: "transport", Detail: addr + " did not ask for the client certificate that the policy names; nothing was sent.",
		Hint: "Providers often have another host for clients with certificates. Or something in between ends TLS.",
	}
}

// certificateAlerts are how a server says that it does not take the certificate of
// a client (RFC 8446 §6.2).
var certificateAlerts = []tls.AlertError{42, 43, 44, 45, 46, 48, 49, 51, 116}

// refusal is what err means if the server refuses the client certificate of k by
// it. With TLS 1.3 that comes after the handshake, with what is read first: the
// request may have been sent by then, and is not read any more.
func (k *key) refusal(err error) (denial error, ok bool) {
	var op *net.OpError
	if k.cert == "" || !errors.As(err, &op) || op.Op != "remote error" {
		return nil, false
	}
	for _, alert := range certificateAlerts {
		if op.Err.Error() == alert.Error() { // package tls has no type for those that came
			return &policy.Denial{
				Code: policy.CredentialUnavailable, Stage: "transport", Detail: k.addr() + " refused the client certificate (" + alert.Error() + ").",
				Hint: "See whether it has expired, whether the provider knows it, and whether the intermediate certificates stand behind it in cert.",
				Err:  err,
			}, true
		}
	}
	return nil, false
}
